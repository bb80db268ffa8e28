# The gem pg: connections in a list; one that fails is reset, as frameworks do.
require "pg"

SIZE = 4
USES = 5
QUERY = "SELECT 6 * 7"
$stdout.sync = true

def ask(connection, text)
  connection.exec(text).getvalue(0, 0)
end

def describe(error)
  state = error.respond_to?(:result) && error.result&.error_field(PG::Result::PG_DIAG_SQLSTATE)
  "#{error.class}: #{state}: #{error.message.chomp.gsub("\n", '\n')}"
end

def use(connection)
  answer = ask(connection, QUERY)
rescue PG::Error => e
  begin
    connection.reset
    "failed: #{describe(e)}; after a reset: #{ask(connection, QUERY)}"
  rescue PG::Error => e
    "failed: #{describe(e)}"
  end
else
  answer
end

pool = Array.new(SIZE) { PG.connect }
pool.each { |connection| connection.exec("BEGIN") }
pids = pool.map(&:backend_pid)
fourth = pool.pop
puts "open #{pids[0...-1].join(" ")}"

$stdin.gets
pool.each { |connection| connection.exec("COMMIT") }
puts "resting"

$stdin.gets
USES.times do
  connection = pool.shift
  puts use(connection)
  pool << connection
end
puts "the fourth: #{ask(fourth, QUERY)}"
fourth.exec("COMMIT")
[*pool, fourth].each(&:close)
puts "over"
