# PG.connect: PQconnectStart and PQconnectPoll; Ruby's other threads run while it waits.
require "pg"

$stdout.sync = true
began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
ticks = 0
Thread.new { loop { sleep 0.01; ticks += 1 } }
commands = Queue.new
Thread.new do
  while (line = $stdin.gets)
    if line.chomp == "ticks"
      puts "#{ticks} #{Process.clock_gettime(Process::CLOCK_MONOTONIC) - began}"
    else
      commands << line.chomp
    end
  end
  commands << "exit"
end

begin
  tls = ENV["CLIENT_TLS"] && { sslmode: ENV["CLIENT_TLS"] }
  connection = PG.connect(ENV.fetch("DATABASE_URL"), **(tls || {}))
rescue PG::Error => e
  puts "failed: #{e.class}: #{e.message.chomp.gsub("\n", '\n')}"
  exit 1
end

puts "connected #{connection.backend_pid}"
while (command = commands.pop) != "exit"
  case command
  when "query"
    puts connection.exec("SELECT 6 * 7, current_setting('application_name')").values[0].join("|")
  when "close"
    connection.finish
    puts "closed"
  end
end
