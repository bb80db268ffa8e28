# The blocking road: PQconnectdb, through PG::Connection.sync_connect.
require "pg"

$stdout.sync = true
begin
  connection = PG::Connection.sync_connect(ENV.fetch("DATABASE_URL"))
rescue PG::Error => e
  puts "failed: #{e.class}: #{e.message.chomp.gsub("\n", '\n')}"
  exit 1
end

puts "connected #{connection.backend_pid}"
while (line = $stdin.gets)
  case line.chomp
  when "query"
    puts connection.exec("SELECT 6 * 7, current_setting('application_name')").values[0].join("|")
  when "close"
    connection.finish
    puts "closed"
  when "exit"
    break
  end
end
