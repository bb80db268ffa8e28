# A member of the fleet, see player.py.   player.rb STEP…
require "pg"

def say(*words)
  $stdout.syswrite(words.join(" ").gsub("\n", '\n') + "\n")
end

def wish
  {host: ENV["PGHOST"], port: ENV["PGPORT"], dbname: ENV["PGDATABASE"], user: ENV["PGUSER"]}
end

opened = [] # with who opened it
steps = ARGV.dup
while (step = steps.shift)
  what, argument = step.split(":")
  case what
  when "open"
    begin
      opened << [PG.connect(**wish), Process.pid]
      say "open"
    rescue PG::Error => e
      say "failed", e.class, e.message
    end
  when "ask"
    if opened.any? && opened.last[1] == Process.pid
      begin
        opened.last[0].exec("SELECT pg_sleep(#{argument.to_i / 1000.0})")
      rescue PG::Error => e
        say "lost", e.class, e.message
        opened.pop[0].close
      end
    end
  when "hold"
    sleep argument.to_i / 1000.0
    sleep 0.02 while File.exist?(ENV["FLEET_GATE"])
  when "close"
    opened.pop[0].close if opened.any?
  when "fork"
    say "fork"
    Process.fork
  when "exec"
    say "exec"
    Process.exec("ruby", __FILE__, *steps)
  end
end
exit!
