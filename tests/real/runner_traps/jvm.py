"""Trap cells of the JVM's test runners."""

from tests.real.runner_traps.traps import NOT_GREEN, RUN, Cell, Edit, Kit, Right, Tools, cells_of

_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>com.x</groupId>
  <artifactId>calc</artifactId>
  <version>1</version>
  <properties>
    <maven.compiler.source>11</maven.compiler.source>
    <maven.compiler.target>11</maven.compiler.target>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
  </properties>
  <build><pluginManagement><plugins>
    <plugin><artifactId>maven-resources-plugin</artifactId><version>3.3.0</version></plugin>
    <plugin><artifactId>maven-compiler-plugin</artifactId><version>3.10.1</version></plugin>
    <plugin><artifactId>maven-surefire-plugin</artifactId><version>2.22.3</version></plugin>
  </plugins></pluginManagement></build>
  <dependencies><dependency>
    <groupId>junit</groupId><artifactId>junit</artifactId><version>4.13.2</version><scope>test</scope>
  </dependency></dependencies>
</project>
"""
_JAVA_HEAD = "package com.x;\n\nimport static org.junit.Assert.*;\n\nimport org.junit.*;\n\npublic class CalcTest {\n"
_JAVA_FLAKY = """    static int tries;

    @Test public void flaky() {
        assertTrue(++tries > 1);
    }
}
"""
_JAVA_TEST, _JAVA_MAIN = "src/test/java/com/x/CalcTest.java", "src/main/java/com/x/Calc.java"
_CALC_JAVA = "package com.x;\n\npublic class Calc {\n    public static int add(int a, int b) { return a @op@ b; }\n}\n"
MAVEN = Kit(
    runner="maven",
    # From Debian's own repository of Maven packages, so that nothing has to be fetched.
    tools=Tools(debian=("maven", "libsurefire-java", "junit4", "default-jdk-headless"), programs=("mvn", "javac")),
    files={"pom.xml": _POM, ".mvn/maven.config": "-o\n-Dmaven.repo.local=/usr/share/maven-repo\n"},
    source=(_JAVA_MAIN, _CALC_JAVA),
    test_path=_JAVA_TEST,
    head=_JAVA_HEAD,
    test="\n    @Test public void @name@() throws Exception {\n        @body@\n    }\n",
    foot="}\n",
    bodies={
        "adds": "assertEquals(3, Calc.add(1, 2));",
        "keeps": "assertTrue(true);",
        "fails": 'fail("no");',
        "quits": "System.exit(0);",
        "crashes": "Runtime.getRuntime().halt(134);",
        "hangs": "Thread.sleep(600_000);",
        "prints": 'System.out.println("[ERROR] Tests run: 9, Failures: 1, Errors: 0, Skipped: 0\\nBUILD FAILURE");',
        "claims": 'System.out.println("[INFO] Results:\\n[INFO] Tests run: 5, Failures: 0, Errors: 0, Skipped: 0\\n'
        '[INFO] BUILD SUCCESS"); fail("no");',
    },
    other=(
        "src/test/java/com/x/OtherTest.java",
        "package com.x;\n\nimport org.junit.Test;\n\npublic class OtherTest {\n    @Test public void other() {}\n}\n",
    ),
    nothing={
        "no tests": {_JAVA_TEST: None},
        "ignored": {_JAVA_TEST: f"{_JAVA_HEAD}    @Ignore @Test public void adds() {{}}\n}}\n"},
        "skipTests": {"pom.xml": _POM.replace("<properties>", "<properties><skipTests>true</skipTests>")},
    },
    hides={
        "ignored": {
            _JAVA_TEST: f"{_JAVA_HEAD}    @Test public void keeps() {{}}\n"
            '    @Ignore @Test public void fails() {\n        fail("no");\n    }\n}\n'
        },
        "no annotation": {
            _JAVA_TEST: f"{_JAVA_HEAD}    @Test public void keeps() {{}}\n"
            '    public void fails() {\n        fail("no");\n    }\n}\n'
        },
        "test property": {"pom.xml": _POM.replace("<properties>", "<properties><test>CalcTest#keeps</test>")},
    },
    fails_after={
        "exit in a hook": {
            "src/test/java/com/x/HookTest.java": "package com.x;\n\nimport org.junit.Test;\n\npublic class HookTest {\n"
            "    @Test public void hooks() {\n        Runtime.getRuntime().addShutdownHook(\n"
            "            new Thread(() -> Runtime.getRuntime().halt(3)));\n    }\n}\n"
        },
    },
    hang_s=25,
    targets=("src/test/java/com/x/OtherTest.java",),
)
_MODULES = {
    "pom.xml": _POM.replace("<version>1</version>", "<version>1</version><packaging>pom</packaging>", 1).replace(
        "<properties>", "<modules><module>one</module><module>two</module></modules><properties>"
    ),
    ".mvn/maven.config": MAVEN.files[".mvn/maven.config"],
    **{f"{name}/pom.xml": _POM.replace(">calc<", f">{name}<") for name in ("one", "two")},
    **{f"{name}/{_JAVA_TEST}": MAVEN.written("adds") for name in ("one", "two")},
    **{f"{name}/{_JAVA_MAIN}": _CALC_JAVA.replace("@op@", "+") for name in ("one", "two")},
}
_FORKLESS = _POM.replace("<properties>", "<properties><forkCount>0</forkCount>")
_RERUNS = _POM.replace(
    "<properties>", "<properties><surefire.rerunFailingTestsCount>2</surefire.rerunFailingTestsCount>"
)

CELLS = [
    *cells_of(MAVEN),
    Cell(
        "maven", "exit 0", {**MAVEN.project("-", "keeps", "quits", "fails"), "pom.xml": _FORKLESS},
        (Edit(MAVEN.at("+")), RUN), Right(False, NOT_GREEN), MAVEN.tools, "in Maven itself",
    ),
    Cell(
        "maven", "reruns",
        {**MAVEN.project("-"), "pom.xml": _RERUNS, _JAVA_TEST: _JAVA_HEAD + _JAVA_FLAKY},
        (Edit(MAVEN.at("+")), RUN), Right(True, ("passed",), 1, 0, says=("flaky",)), MAVEN.tools,
    ),
    Cell(
        "maven", "two packages", _MODULES, (Edit({f"two/{_JAVA_MAIN}": _CALC_JAVA.replace("@op@", "-")}), RUN),
        Right(False, ("failed",), 1, 1), MAVEN.tools,
    ),
]  # fmt: skip
