// HikariCP over pgjdbc. With the argument "looks" it looks whether a connection lives each time it gives one away,
// with "trusts" never.
import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;

class Hikari {
    static final int SIZE = 4;
    static final int USES = 5;
    static final String QUERY = "SELECT 6 * 7";

    static String ask(Connection connection, String text) throws SQLException {
        try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery(text)) {
            rows.next();
            return rows.getString(1);
        }
    }

    static String describe(SQLException error) {
        return error.getClass().getName() + ": " + error.getSQLState() + ": "
                + error.getMessage().stripTrailing().replace("\n", "\\n");
    }

    static String use(HikariDataSource pool) {
        try (Connection connection = pool.getConnection()) {
            String answer = ask(connection, QUERY);
            connection.commit();
            return answer;
        } catch (SQLException error) {
            return "failed: " + describe(error);
        }
    }

    public static void main(String[] arguments) throws Exception {
        System.setProperty("com.zaxxer.hikari.aliveBypassWindowMs", arguments[0].equals("looks") ? "0" : "3600000");
        HikariConfig config = new HikariConfig();
        config.setJdbcUrl("jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/"
                + System.getenv("PGDATABASE") + "?sslmode=disable");
        config.setUsername(System.getenv("PGUSER"));
        config.setMaximumPoolSize(SIZE);
        config.setAutoCommit(false);
        HikariDataSource pool = new HikariDataSource(config);

        List<Connection> taken = new ArrayList<>();
        String pids = "";
        for (int i = 0; i < SIZE; i++)
            taken.add(pool.getConnection());
        for (int i = 0; i < SIZE; i++) {
            String pid = ask(taken.get(i), "SELECT pg_backend_pid()");
            pids += i < SIZE - 1 ? " " + pid : "";
        }
        Connection fourth = taken.remove(SIZE - 1);
        System.out.println("open" + pids);

        BufferedReader orders = new BufferedReader(new InputStreamReader(System.in));
        orders.readLine();
        for (Connection connection : taken) {
            connection.commit();
            connection.close();
        }
        System.out.println("resting");

        orders.readLine();
        for (int i = 0; i < USES; i++)
            System.out.println(use(pool));
        System.out.println("the fourth: " + ask(fourth, QUERY));
        fourth.commit();
        fourth.close();
        pool.close();
        System.out.println("over");
    }
}
