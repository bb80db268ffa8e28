# DBI with DBD::Pg; "dbi:Pg:" alone takes everything from PGHOST and its like.
use strict;
use warnings;
use DBI;

$| = 1;
my $connection = eval { DBI->connect("dbi:Pg:", undef, undef, {RaiseError => 1, PrintError => 0}) };
if (!$connection) {
    chomp(my $text = $@);
    $text =~ s/\n/\\n/g;
    print "failed: DBI ", $DBI::state, ": $text\n";
    exit 1;
}

print "connected $connection->{pg_pid}\n";
while (my $line = <STDIN>) {
    chomp $line;
    if ($line eq "query") {
        my $sql = "SELECT 6 * 7, current_setting('application_name')";
        print join("|", $connection->selectrow_array($sql)), "\n";
    } elsif ($line eq "close") {
        $connection->disconnect;
        print "closed\n";
    } elsif ($line eq "exit") {
        last;
    }
}
