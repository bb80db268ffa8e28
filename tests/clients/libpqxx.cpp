// libpqxx; pqxx::connection closes when it ends.
#include <pqxx/pqxx>

#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>

int main()
{
    std::unique_ptr<pqxx::connection> connection;
    try {
        connection = std::make_unique<pqxx::connection>(std::getenv("DATABASE_URL"));
    } catch (const pqxx::broken_connection &error) {
        std::string text = error.what();
        while (!text.empty() && text.back() == '\n')
            text.pop_back();
        for (std::size_t at; (at = text.find('\n')) != std::string::npos;)
            text.replace(at, 1, "\\n");
        std::cout << "failed: pqxx::broken_connection: " << text << std::endl;
        return 1;
    }

    std::cout << "connected " << connection->backendpid() << std::endl;
    for (std::string line; std::getline(std::cin, line) && line != "exit";) {
        if (line == "query") {
            pqxx::work work{*connection};
            pqxx::row row = work.exec1("SELECT 6 * 7, current_setting('application_name')");
            std::cout << row[0].c_str() << '|' << row[1].c_str() << std::endl;
        } else if (line == "close") {
            connection.reset();
            std::cout << "closed" << std::endl;
        }
    }
}
