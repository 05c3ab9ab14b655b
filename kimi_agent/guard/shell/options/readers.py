"""Table of the options of commands that read, search and print files, and of the plain ones that move them.

Left out are those by which a command runs another (`rg --pre`, `diff -l`), writes (`sort -o`, `xxd -r`), takes a list
of names or settings from a file (`--files0-from`), or follows links below the named folders (`grep -R`, `du -L`).
"""

from kimi_agent.guard.shell.options.spec import CommandSpec

_SED_SCRIPT = (
    r"(?:[0-9$]{0,9}(?:,[0-9$+~]{1,9})?!?[pdq=]|"
    r"s([/|,#:])(?:(?!\1)[^\\\n]|\\[^\n])*\1(?:(?!\1)[^\\\n]|\\[^\n])*\1[gpiI0-9]*)"
)
# By these words a program reads or runs something else than the files that are named; `>` may be a comparison.
_AWK_PROGRAM = r"(?!.*(?:system|getline|close|ARGV|ARGC|SYMTAB|[|>@])).*"
_JQ_FILTER = r"(?!.*\b(?:import|include|modulemeta)\b).*"
_GREP = CommandSpec(
    short="EFGPivwxclLoqsbHhnTZzaIrUy0123456789e:f:m:A:B:C:d:",
    long="extended-regexp fixed-strings basic-regexp perl-regexp regexp= file= ignore-case no-ignore-case invert-match "
    "word-regexp line-regexp count color=? colour=? files-with-matches files-without-match max-count= only-matching "
    "quiet silent no-messages byte-offset with-filename no-filename label= line-number initial-tab null after-context= "
    "before-context= context= text binary-files= exclude= exclude-dir= include= recursive line-buffered null-data "
    "help version",
    operands="PATTERN PATH...",
    texts="e regexp label exclude exclude-dir include",
    displacing="e regexp f file",
)
_RG = CommandSpec(
    short="isSnNlcvwxoqFPuU0HIaphV.e:f:g:t:T:A:B:C:m:M:j:r:d:E:",
    long="regexp= file= glob= iglob= type= type-not= type-list after-context= before-context= context= max-count= "
    "max-columns= max-columns-preview max-depth= max-filesize= threads= replace= encoding= color= colors= sort= sortr= "
    "files hidden no-hidden no-ignore no-ignore-vcs no-ignore-dot no-ignore-exclude no-ignore-global no-ignore-parent "
    "ignore-case case-sensitive smart-case fixed-strings word-regexp line-regexp line-number no-line-number count "
    "count-matches files-with-matches files-without-match only-matching invert-match quiet pcre2 multiline "
    "multiline-dotall null null-data json stats heading no-heading vimgrep column no-column trim passthru no-messages "
    "text pretty with-filename no-filename unrestricted crlf no-config one-file-system byte-offset include-zero "
    "context-separator= field-match-separator= field-context-separator= glob-case-insensitive no-unicode help version",
    operands="PATTERN PATH...",
    texts="e regexp g glob iglob r replace colors context-separator field-match-separator field-context-separator",
    displacing="e regexp f file files type-list",
)
_AG = CommandSpec(
    short="iSsvwlLcaQnrtuHhoA:B:C:G:m:",
    long="ignore-case smart-case case-sensitive literal files-with-matches count hidden nocolor nogroup numbers",
    operands="PATTERN PATH...",
    texts="G",
)
_FD = CommandSpec(
    short="HIusigFap0q1S:e:t:d:E:",
    long="hidden no-ignore case-sensitive ignore-case glob fixed-strings absolute-path full-path print0 extension= "
    "type= max-depth= min-depth= exclude= color= max-results= quiet help version",
    operands="PATTERN PATH...",
    texts="E exclude",
)
_FIND = CommandSpec(
    long="P a o and or not true false print print0 ls quit prune depth d xdev mount noleaf daystart empty "
    "readable writable executable nouser nogroup ignore_readdir_race warn nowarn maxdepth= mindepth= name= iname= "
    "path= ipath= wholename= iwholename= regex= iregex= regextype= lname= ilname= type= xtype= size= mtime= mmin= "
    "atime= amin= ctime= cmin= newer= anewer= cnewer= newermt= newerat= newerct= samefile= links= inum= perm= user= "
    "group= uid= gid= printf= fstype= used= help version",
    texts="name iname path ipath wholename iwholename regex iregex lname ilname newermt newerat newerct printf",
    single_dash=True,
)
_LS = CommandSpec(
    short="aAbBcCdDfFgGhiklmnNopqQrRsStuUvxXZ1I:T:w:",
    long="all almost-all author escape block-size= ignore-backups color=? directory dired classify=? file-type format= "
    "full-time group-directories-first no-group human-readable si hide= hyperlink=? indicator-style= inode ignore= "
    "kibibytes literal hide-control-chars show-control-chars numeric-uid-gid quote-name quoting-style= reverse "
    "recursive size sort= time= time-style= tabsize= width= context zero help version",
    texts="I ignore hide time-style",
)
_TREE = CommandSpec(
    short="adfishpugDFrtcUvCnqNQxJXASL:P:I:",
    long="dirsfirst filesfirst noreport gitignore du si prune inodes device matchdirs ignore-case metafirst sort=? "
    "filelimit= charset= timefmt= help version",
    texts="P I timefmt",
)
_HEAD = CommandSpec(short="qvzc:n:0123456789", long="bytes= lines= quiet silent verbose zero-terminated help version")
_TAIL = CommandSpec(
    short="qvzfFc:n:s:0123456789",
    long="bytes= lines= quiet silent verbose zero-terminated follow=? retry pid= sleep-interval= help version",
)
_SORT = CommandSpec(
    short="bdfgiMhnRrVuczmsCk:t:",
    long="ignore-leading-blanks dictionary-order ignore-case general-numeric-sort ignore-nonprinting month-sort "
    "human-numeric-sort numeric-sort random-sort reverse sort= version-sort unique check=? key= field-separator= "
    "stable merge zero-terminated debug help version",
    texts="t field-separator",
)
_DIFF = CommandSpec(
    short="abBdeEinNpqrstTuwyZcC:U:W:x:I:F:0123456789",
    long="text ignore-space-change ignore-blank-lines minimal ignore-tab-expansion ignore-case new-file "
    "unidirectional-new-file show-c-function brief recursive report-identical-files expand-tabs initial-tab "
    "ignore-all-space side-by-side ignore-trailing-space unified=? context=? width= exclude= ignore-matching-lines= "
    "show-function-line= strip-trailing-cr suppress-common-lines suppress-blank-empty left-column color=? "
    "no-dereference normal ed rcs label= speed-large-files tabsize= horizon-lines= help version",
    texts="x I F exclude ignore-matching-lines show-function-line label",
)
_SED = CommandSpec(
    short="nEruze:l:",
    long="quiet silent regexp-extended posix unbuffered null-data debug sandbox expression= line-length= help version",
    operands="SCRIPT PATH...",
    values=dict.fromkeys(("SCRIPT", "e", "expression"), _SED_SCRIPT),
    texts="e expression",
    displacing="e expression",
)
_AWK = CommandSpec(
    short="F:v:",
    operands="PROGRAM PATH...",
    values={"PROGRAM": _AWK_PROGRAM},
    texts="F v",
)
_JQ = CommandSpec(
    short="crsneSMCajR",
    long="compact-output raw-output raw-input slurp null-input exit-status sort-keys monochrome-output color-output "
    "ascii-output join-output tab indent= seq stream help version",
    operands="FILTER PATH...",
    values={"FILTER": _JQ_FILTER},
)
_TEXT = CommandSpec(operands="TEXT...")
_NONE = CommandSpec(operands="")
_CHECKSUM = CommandSpec(short="btz", long="binary text tag zero help version")

READERS = {
    **dict.fromkeys(("grep", "egrep", "fgrep"), _GREP),
    "rg": _RG,
    "ag": _AG,
    **dict.fromkeys(("fd", "fdfind"), _FD),
    "find": _FIND,
    "ls": _LS,
    "tree": _TREE,
    "cat": CommandSpec(
        short="AbeEnstTuv",
        long="show-all number-nonblank show-ends number squeeze-blank show-tabs show-nonprinting help version",
    ),
    "tac": CommandSpec(short="br", long="before regex help version"),
    "head": _HEAD,
    "tail": _TAIL,
    "wc": CommandSpec(short="cmlLw", long="bytes chars lines max-line-length words total= help version"),
    "nl": CommandSpec(short="pb:d:f:h:i:l:n:s:v:w:", texts="b d s"),
    "sort": _SORT,
    "uniq": CommandSpec(
        short="cdDiuzf:s:w:",
        long="count repeated all-repeated=? skip-fields= group=? ignore-case skip-chars= unique zero-terminated "
        "check-chars= help version",
        operands="PATH",  # a second one is written
    ),
    "cut": CommandSpec(
        short="nszb:c:d:f:",
        long="bytes= characters= delimiter= fields= complement only-delimited output-delimiter= zero-terminated help "
        "version",
        texts="d delimiter output-delimiter",
    ),
    "tr": CommandSpec(
        short="cCdst", long="complement delete squeeze-repeats truncate-set1 help version", operands="TEXT TEXT"
    ),
    "diff": _DIFF,
    "cmp": CommandSpec(short="bsli:n:", long="print-bytes ignore-initial= verbose bytes= quiet silent help version"),
    "comm": CommandSpec(short="123z", long="check-order nocheck-order output-delimiter= total zero-terminated"),
    "stat": CommandSpec(short="ftc:", long="file-system terse format= printf= help version", texts="c format printf"),
    "file": CommandSpec(
        short="bcikhnNrv0e:F:", long="brief mime mime-type mime-encoding keep-going extension raw no-dereference help"
    ),
    "du": CommandSpec(
        short="abchkmsSxlPd:t:B:0",
        long="all apparent-size bytes total human-readable max-depth= summarize one-file-system count-links "
        "separate-dirs si threshold= exclude= time=? time-style= block-size= inodes null no-dereference help version",
        texts="exclude time-style",
    ),
    "df": CommandSpec(short="ahHiklmPTt:x:B:", long="all human-readable si inodes local portability print-type total"),
    **dict.fromkeys(("sed", "gsed"), _SED),
    **dict.fromkeys(("awk", "gawk", "mawk", "nawk"), _AWK),
    "jq": _JQ,
    "yq": CommandSpec(
        short="rne", operands="FILTER PATH...", values={"FILTER": r"(?!.*(?:load|env|eval|import|include)).*"}
    ),
    "xxd": CommandSpec(
        # A second operand is written. Each name is matched by its beginning, so letters do not cluster.
        long="a b d e E i p ps u C c= cols= g= l= len= n= name= s= seek= o= h v",
        operands="PATH",
        single_dash=True,
    ),
    "od": CommandSpec(short="abcdfiloscvxA:j:N:t:w::", long="address-radix= skip-bytes= read-bytes= format="),
    "hexdump": CommandSpec(short="bcCdoxvn:s:"),
    "strings": CommandSpec(short="afn:t:e:"),
    "base64": CommandSpec(short="diw:", long="decode ignore-garbage wrap= help version", operands="PATH"),
    "shuf": CommandSpec(short="eri:n:z", long="echo input-range= head-count= repeat zero-terminated help version"),
    "less": CommandSpec(short="NSRFXiIeEqQsn", values={"PATH": r"(?!\+).*"}),  # +command
    "man": CommandSpec(short="kfw", long="apropos whatis where path", operands="TEXT..."),
    "date": CommandSpec(
        short="uRd:r:I::",
        long="date= iso-8601=? rfc-3339= rfc-email reference= utc universal help version",
        operands="FORMAT",
        values={"FORMAT": r"\+.*"},  # any other sets the clock
        texts="d date",
    ),
    **dict.fromkeys(("md5sum", "sha1sum", "sha224sum", "sha256sum", "sha384sum", "sha512sum", "b2sum"), _CHECKSUM),
    "realpath": CommandSpec(
        short="emsLPqz", long="canonicalize-existing canonicalize-missing relative-to= relative-base="
    ),
    "readlink": CommandSpec(
        short="femnqsvz", long="canonicalize canonicalize-existing canonicalize-missing no-newline"
    ),
    "basename": CommandSpec(short="azs:", long="multiple suffix= zero", operands="TEXT...", texts="s suffix"),
    "dirname": CommandSpec(short="z", long="zero", operands="TEXT..."),
    "which": CommandSpec(short="as", long="all", operands="TEXT..."),
    "echo": CommandSpec(short="neE", operands="TEXT..."),
    **dict.fromkeys(("printf", "seq", "expr", "true", "false", "id", "sleep"), _TEXT),
    **dict.fromkeys(("whoami", "tty", "nproc", "arch"), _NONE),
    "pwd": CommandSpec(short="LP", operands=""),
    "uname": CommandSpec(short="asnrvmpio", long="all", operands=""),
}
"""Commands that write nothing, and do in every folder the same with the operands that they are given."""

FILE_TOOLS = {
    "mkdir": CommandSpec(short="pvm:", long="parents verbose mode="),
    "touch": CommandSpec(short="acmhd:t:r:", long="no-create date= time= reference=", texts="d date"),
    "cp": CommandSpec(short="aRrfinpuvTPd", long="archive recursive force interactive no-clobber update verbose"),
    "mv": CommandSpec(short="finuvT", long="force interactive no-clobber update verbose no-target-directory"),
    "rm": CommandSpec(short="rRfiIdv", long="recursive force interactive=? dir verbose one-file-system"),
    "rmdir": CommandSpec(short="pv", long="parents verbose ignore-fail-on-non-empty"),
    "chmod": CommandSpec(short="Rvcf", long="recursive verbose changes silent quiet", operands="MODE PATH..."),
    "ln": CommandSpec(short="sfnivrT", long="symbolic force no-dereference interactive verbose relative"),
    "split": CommandSpec(short="l:b:n:da:", long="lines= bytes= number= numeric-suffixes=?", operands="PATH PATH"),
    "tar": CommandSpec(
        short="ctxrvzjJapkf:",
        long="create list extract get append verbose gzip bzip2 xz auto-compress preserve-permissions keep-old-files "
        "file= exclude= strip-components= wildcards help version",
        # A name with a colon is on another machine: tar starts a remote shell. The first word may be options, bare.
        values={**dict.fromkeys(("f", "file"), r"[^:]*"), "PATH": r"(?![A-Za-z]*[IFPCgTK][A-Za-z]*$)[^:@]*"},
        texts="exclude",
    ),
    "zip": CommandSpec(short="rq0123456789jyux:", long="recurse-paths quiet junk-paths exclude="),
    "unzip": CommandSpec(short="lvtnqjp"),
    "rsync": CommandSpec(
        short="avnrztlphPiu",
        long="archive verbose dry-run recursive compress progress stats exclude= include= checksum itemize-changes",
        values={"PATH": r"[^:]*"},  # with a colon it starts a remote shell
        texts="exclude include",
    ),
    "curl": CommandSpec(
        short="sSfiILv46Nm:A:H:",
        long="silent show-error fail fail-with-body include head location verbose ipv4 ipv6 no-buffer max-time= "
        "connect-timeout= retry= retry-delay= user-agent= header= compressed http1.1 http2 get help version",
        operands="URL...",
        values=dict.fromkeys(("H", "header"), r"(?!@).*"),
        texts="A user-agent H header",
    ),
    "wget": CommandSpec(
        short="qSvnct:T:", long="quiet spider server-response tries= timeout= no-verbose continue", operands="URL..."
    ),
    **dict.fromkeys(("scp", "sftp"), CommandSpec(short="rpqvC", values={"PATH": r"(?!-).*"})),
    "tcpdump": _NONE,
    **dict.fromkeys(("vi", "vim", "nvim", "ex", "view", "emacs", "nano"), CommandSpec(values={"PATH": r"(?!\+).*"})),
}
