"""Ruby reporters for RSpec and minitest: what their own reports leave out, in files that no test prints into.

RSpec's JSON does not say how many examples there were to run, so `exit 0` in a hook looks like a whole run (3.12.0);
minitest writes nothing but text, between what the tests print, and a reporter of the project's own changes that text.
"""

from collections.abc import Mapping
from pathlib import Path

RSPEC_REPORTER_FILE, MINITEST_PLUGIN_FILE = "rspec_reporter.rb", "minitest/kimi_agent_plugin.rb"
_MINITEST_REPORT = "KIMI_AGENT_MINITEST_REPORT"

RSPEC_REPORTER = """\
require "rspec/core/formatters/json_formatter"

class KimiAgentReport < RSpec::Core::Formatters::JsonFormatter
  RSpec::Core::Formatters.register self, :start

  def start(notification)
    super
    @output_hash[:announced] = notification.count
  end
end
"""

# Minitest (5.x) loads every minitest/*_plugin.rb of the load path. The composite of all reporters is extended, so that
# a reporter of the project's own may replace the others. What the tests start sees neither folder nor variable.
MINITEST_PLUGIN = """\
module Minitest
  module KimiAgentReport
    class << self
      attr_accessor :io

      def say(event)
        io.write(JSON.generate(event) + "\\n")
      end

      def text(value)
        value.to_s.dup.force_encoding("UTF-8").scrub[0, 20_000]
      end

      def places
        @places ||= Hash.new { |known, name| known[name] = declared(name) }
      end

      def declared(name)
        found = Runnable.runnables.find { |each| each.name == name }
        real = found && Module.instance_method(:name).bind(found).call
        real && Object.respond_to?(:const_source_location) ? (Object.const_source_location(real) || [])[0] : nil
      end

      def failure(each)
        cause = each.respond_to?(:error) ? each.error : each
        crashed = UnexpectedError === each
        trace = Minitest.filter_backtrace(cause.backtrace || []).first(200)
        { "message" => text(crashed ? "#{cause.class}: #{cause.message}" : each.message),
          "at" => text(each.location), "backtrace" => trace.map { |line| text(line) } }
      end
    end

    def start
      KimiAgentReport.say("kind" => "start")
      super
    end

    def prerecord(klass, name)
      KimiAgentReport.say("kind" => "begin", "test" => KimiAgentReport.text("#{klass.name}##{name}"))
      super
    end

    def record(result)
      klass = result.respond_to?(:klass) ? result.klass : result.class.name
      source = result.respond_to?(:source_location) ? result.source_location : []
      KimiAgentReport.say(
        "kind" => "end", "test" => KimiAgentReport.text("#{klass}##{result.name}"), "code" => result.result_code,
        "file" => KimiAgentReport.places[klass] || (source || [])[0],
        "failures" => result.failures.map { |each| KimiAgentReport.failure(each) }
      )
      super
    end

    def report
      KimiAgentReport.say("kind" => "done")
      super
    end
  end

  def self.plugin_kimi_agent_init(_options)
    path = ENV.delete("KIMI_AGENT_MINITEST_REPORT")
    return unless path
    require "json"
    folder = File.dirname(__dir__)
    rest = ENV["RUBYLIB"].to_s.split(File::PATH_SEPARATOR) - [folder]
    ENV["RUBYLIB"] = rest.empty? ? nil : rest.join(File::PATH_SEPARATOR)
    KimiAgentReport.io = File.open(path, "a")
    KimiAgentReport.io.sync = true
    reporter.extend(KimiAgentReport)
  end
end
"""


def minitest_environment(report: Path) -> Mapping[str, str]:
    """The variables with which every minitest that is started reports to `report`; the plugin lies beside that."""
    return {"RUBYLIB": str(report.parent), _MINITEST_REPORT: str(report)}
