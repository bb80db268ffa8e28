// pgjdbc: blocking for its caller, non-blocking on the socket.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

class Pgjdbc {
    static String query(Connection connection, String text) throws SQLException {
        try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery(text)) {
            rows.next();
            String answer = rows.getString(1);
            for (int i = 2; i <= rows.getMetaData().getColumnCount(); i++)
                answer += "|" + rows.getString(i);
            return answer;
        }
    }

    static Connection connect() throws SQLException {
        String tls = System.getenv("CLIENT_TLS");
        return DriverManager.getConnection("jdbc:postgresql://" + System.getenv("PGHOST") + ":"
                + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE") + "?user="
                + System.getenv("PGUSER") + "&sslmode=" + (tls == null ? "disable" : tls));
    }

    public static void main(String[] arguments) throws Exception {
        Connection connection = null;
        try {
            connection = connect();
        } catch (SQLException error) {
            System.out.println("failed: " + error.getClass().getName() + ": " + error.getSQLState() + ": "
                    + error.getMessage().stripTrailing().replace("\n", "\\n"));
            System.exit(1);
        }
        System.out.println("connected " + query(connection, "SELECT pg_backend_pid()"));
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = input.readLine()) != null && !line.equals("exit");) {
            if (line.equals("query")) {
                System.out.println(
                        query(connection, "SELECT 6 * 7, current_setting('application_name')"));
            } else if (line.equals("close")) {
                connection.close();
                System.out.println("closed");
            }
        }
    }
}
