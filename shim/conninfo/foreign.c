#include "conninfo/foreign.h"

#include <string.h>

/* Each list names its source. What asks for TLS, for another server or for a read-only session is
 * on a list only with values that lose nothing when they go; with any other it stays, and libpq
 * refuses the string. */
static const struct pqb_foreign list[] = {
    /* Prisma: quaint/src/connector/postgres/url.rs in prisma-engines, and "PostgreSQL connector,
     * Arguments" in its documentation. sslcert, which libpq knows under another meaning, is in
     * clean.c. */
    {"connection_limit", PQB_FOREIGN_CAP, NULL},
    {"pool_timeout", PQB_FOREIGN_WAIT_SECONDS, NULL},
    {"socket_timeout", PQB_FOREIGN_TIMEOUT, NULL},
    {"schema", PQB_FOREIGN_SCHEMA, NULL},
    {"pgbouncer", PQB_FOREIGN_POOLER, NULL},
    {"sslaccept", PQB_FOREIGN_SSLACCEPT, NULL},
    {"sslidentity", PQB_FOREIGN_DROPPED, NULL},
    {"statement_cache_size", PQB_FOREIGN_DROPPED, NULL},
    {"max_connection_lifetime", PQB_FOREIGN_DROPPED, NULL},
    {"max_idle_connection_lifetime", PQB_FOREIGN_DROPPED, NULL},
    {"single_use_connections", PQB_FOREIGN_DROPPED, NULL},

    /* SQLAlchemy: "Engine Configuration" (what engine_from_config takes out of a URL or a file) and
     * "PostgreSQL", the dialects of psycopg2, psycopg, asyncpg and pg8000. */
    {"pool_size", PQB_FOREIGN_DROPPED, NULL},
    {"max_overflow", PQB_FOREIGN_DROPPED, NULL},
    {"pool_recycle", PQB_FOREIGN_DROPPED, NULL},
    {"pool_pre_ping", PQB_FOREIGN_DROPPED, NULL},
    {"pool_use_lifo", PQB_FOREIGN_DROPPED, NULL},
    {"pool_reset_on_return", PQB_FOREIGN_DROPPED, NULL},
    {"pool_logging_name", PQB_FOREIGN_DROPPED, NULL},
    {"echo", PQB_FOREIGN_DROPPED, NULL},
    {"echo_pool", PQB_FOREIGN_DROPPED, NULL},
    {"future", PQB_FOREIGN_DROPPED, NULL},
    {"plugin", PQB_FOREIGN_DROPPED, NULL},
    {"async_fallback", PQB_FOREIGN_DROPPED, NULL},
    {"prepared_statement_cache_size", PQB_FOREIGN_DROPPED, NULL},
    {"prepared_statement_name_func", PQB_FOREIGN_DROPPED, NULL},
    {"executemany_mode", PQB_FOREIGN_DROPPED, NULL},
    {"executemany_batch_page_size", PQB_FOREIGN_DROPPED, NULL},
    {"executemany_values_page_size", PQB_FOREIGN_DROPPED, NULL},
    {"use_native_hstore", PQB_FOREIGN_DROPPED, NULL},
    {"use_native_unicode", PQB_FOREIGN_DROPPED, NULL},
    {"prepare_threshold", PQB_FOREIGN_DROPPED, NULL}, /* of psycopg */
    {"autocommit", PQB_FOREIGN_DROPPED, NULL},
    {"tcp_keepalive", PQB_FOREIGN_DROPPED, NULL}, /* of pg8000 */

    /* Rails: "Configuring Rails Applications, Configuring a Database"; activerecord's
     * connection_adapters/abstract/connection_pool.rb and postgresql_adapter.rb. */
    {"pool", PQB_FOREIGN_CAP_OR_NOT, NULL},
    {"max_connections", PQB_FOREIGN_CAP_OR_NOT, NULL}, /* 8.1's word for it */
    {"min_connections", PQB_FOREIGN_DROPPED, NULL},
    {"checkout_timeout", PQB_FOREIGN_WAIT_SECONDS, NULL},
    {"schema_search_path", PQB_FOREIGN_PATH, NULL},
    {"statement_timeout", PQB_FOREIGN_SETTING, NULL},
    {"lock_timeout", PQB_FOREIGN_SETTING, NULL},
    {"prepared_statements", PQB_FOREIGN_DROPPED, NULL},
    {"statement_limit", PQB_FOREIGN_DROPPED, NULL},
    {"advisory_locks", PQB_FOREIGN_DROPPED, NULL},
    {"reaping_frequency", PQB_FOREIGN_DROPPED, NULL},
    {"idle_timeout", PQB_FOREIGN_DROPPED, NULL},
    {"keepalive", PQB_FOREIGN_DROPPED, NULL},
    {"max_age", PQB_FOREIGN_DROPPED, NULL},
    {"pool_jitter", PQB_FOREIGN_DROPPED, NULL},
    {"min_messages", PQB_FOREIGN_DROPPED, NULL},
    {"insert_returning", PQB_FOREIGN_DROPPED, NULL},
    {"encoding", PQB_FOREIGN_DROPPED, NULL},
    {"adapter", PQB_FOREIGN_DROPPED, NULL},
    {"migrations_paths", PQB_FOREIGN_DROPPED, NULL},
    {"database_tasks", PQB_FOREIGN_DROPPED, NULL},
    {"schema_dump", PQB_FOREIGN_DROPPED, NULL},
    {"schema_cache_path", PQB_FOREIGN_DROPPED, NULL},
    {"use_metadata_table", PQB_FOREIGN_DROPPED, NULL},
    {"query_cache", PQB_FOREIGN_DROPPED, NULL},
    {"retry_deadline", PQB_FOREIGN_DROPPED, NULL},
    {"connection_retries", PQB_FOREIGN_DROPPED, NULL},
    {"verify_timeout", PQB_FOREIGN_DROPPED, NULL},

    /* Django: dj-database-url's README (currentSchema, and its arguments) and django-environ's
     * _DB_BASE_OPTIONS; "Settings, DATABASES". */
    {"currentSchema", PQB_FOREIGN_PATH, NULL},
    {"search_path", PQB_FOREIGN_PATH, NULL},
    {"conn_max_age", PQB_FOREIGN_DROPPED, NULL},
    {"conn_health_checks", PQB_FOREIGN_DROPPED, NULL},
    {"disable_server_side_cursors", PQB_FOREIGN_DROPPED, NULL},
    {"engine", PQB_FOREIGN_DROPPED, NULL},
    {"ssl_require", PQB_FOREIGN_HARMLESS, "false False 0"},
    {"CONN_MAX_AGE", PQB_FOREIGN_DROPPED, NULL},
    {"CONN_HEALTH_CHECKS", PQB_FOREIGN_DROPPED, NULL},
    {"ATOMIC_REQUESTS", PQB_FOREIGN_DROPPED, NULL},
    {"AUTOCOMMIT", PQB_FOREIGN_DROPPED, NULL},
    {"DISABLE_SERVER_SIDE_CURSORS", PQB_FOREIGN_DROPPED, NULL},

    /* pgx: ParseConfig of pgxpool/pool.go and of conn.go, the latter with v4's words too. */
    {"pool_max_conns", PQB_FOREIGN_CAP, NULL},
    {"pool_min_conns", PQB_FOREIGN_DROPPED, NULL},
    {"pool_min_idle_conns", PQB_FOREIGN_DROPPED, NULL},
    {"pool_max_conn_lifetime", PQB_FOREIGN_DROPPED, NULL},
    {"pool_max_conn_lifetime_jitter", PQB_FOREIGN_DROPPED, NULL},
    {"pool_max_conn_idle_time", PQB_FOREIGN_DROPPED, NULL},
    {"pool_health_check_period", PQB_FOREIGN_DROPPED, NULL},
    {"pool_ping_timeout", PQB_FOREIGN_DROPPED, NULL},
    {"default_query_exec_mode", PQB_FOREIGN_DROPPED, NULL},
    {"statement_cache_capacity", PQB_FOREIGN_DROPPED, NULL},
    {"description_cache_capacity", PQB_FOREIGN_DROPPED, NULL},
    {"statement_cache_mode", PQB_FOREIGN_DROPPED, NULL},
    {"prefer_simple_protocol", PQB_FOREIGN_DROPPED, NULL},
    {"min_read_buffer_size", PQB_FOREIGN_DROPPED, NULL},

    /* pgjdbc: org/postgresql/PGProperty.java, "Connection Parameters". Not here on purpose:
     * sslfactory and its neighbours, sslhostnameverifier, sslNegotiation,
     * authenticationPluginClassName, krb and gss names. */
    {"ApplicationName", PQB_FOREIGN_NAME, NULL},
    {"connectTimeout", PQB_FOREIGN_CONNECT_TIMEOUT, NULL},
    {"loginTimeout", PQB_FOREIGN_CONNECT_TIMEOUT, NULL},
    {"socketTimeout", PQB_FOREIGN_DROPPED, NULL},
    {"queryTimeout", PQB_FOREIGN_DROPPED, NULL},
    {"cancelSignalTimeout", PQB_FOREIGN_DROPPED, NULL},
    {"sslResponseTimeout", PQB_FOREIGN_DROPPED, NULL},
    {"gssResponseTimeout", PQB_FOREIGN_DROPPED, NULL},
    {"adaptiveFetch", PQB_FOREIGN_DROPPED, NULL},
    {"adaptiveFetchMaximum", PQB_FOREIGN_DROPPED, NULL},
    {"adaptiveFetchMinimum", PQB_FOREIGN_DROPPED, NULL},
    {"allowEncodingChanges", PQB_FOREIGN_DROPPED, NULL},
    {"assumeMinServerVersion", PQB_FOREIGN_DROPPED, NULL},
    {"autosave", PQB_FOREIGN_DROPPED, NULL},
    {"binaryTransfer", PQB_FOREIGN_DROPPED, NULL},
    {"binaryTransferDisable", PQB_FOREIGN_DROPPED, NULL},
    {"binaryTransferEnable", PQB_FOREIGN_DROPPED, NULL},
    {"cleanupSavepoints", PQB_FOREIGN_DROPPED, NULL},
    {"connectThreadFactory", PQB_FOREIGN_DROPPED, NULL},
    {"convertBooleanToNumeric", PQB_FOREIGN_DROPPED, NULL},
    {"databaseMetadataCacheFields", PQB_FOREIGN_DROPPED, NULL},
    {"databaseMetadataCacheFieldsMiB", PQB_FOREIGN_DROPPED, NULL},
    {"defaultRowFetchSize", PQB_FOREIGN_DROPPED, NULL},
    {"disableColumnSanitiser", PQB_FOREIGN_DROPPED, NULL},
    {"escapeSyntaxCallMode", PQB_FOREIGN_DROPPED, NULL},
    {"groupStartupParameters", PQB_FOREIGN_DROPPED, NULL},
    {"hideUnprivilegedObjects", PQB_FOREIGN_DROPPED, NULL},
    {"hostRecheckSeconds", PQB_FOREIGN_DROPPED, NULL},
    {"jaasLogin", PQB_FOREIGN_DROPPED, NULL},
    {"jaasApplicationName", PQB_FOREIGN_DROPPED, NULL},
    {"logServerErrorDetail", PQB_FOREIGN_DROPPED, NULL},
    {"logUnclosedConnections", PQB_FOREIGN_DROPPED, NULL},
    {"loggerFile", PQB_FOREIGN_DROPPED, NULL},
    {"loggerLevel", PQB_FOREIGN_DROPPED, NULL},
    {"maxResultBuffer", PQB_FOREIGN_DROPPED, NULL},
    {"maxSendBufferSize", PQB_FOREIGN_DROPPED, NULL},
    {"preferQueryMode", PQB_FOREIGN_DROPPED, NULL},
    {"prepareThreshold", PQB_FOREIGN_DROPPED, NULL},
    {"preparedStatementCacheQueries", PQB_FOREIGN_DROPPED, NULL},
    {"preparedStatementCacheSizeMiB", PQB_FOREIGN_DROPPED, NULL},
    {"protocolVersion", PQB_FOREIGN_DROPPED, NULL},
    {"quoteReturningIdentifiers", PQB_FOREIGN_DROPPED, NULL},
    {"reWriteBatchedInserts", PQB_FOREIGN_DROPPED, NULL},
    {"readOnlyMode", PQB_FOREIGN_DROPPED, NULL},
    {"receiveBufferSize", PQB_FOREIGN_DROPPED, NULL},
    {"sendBufferSize", PQB_FOREIGN_DROPPED, NULL},
    {"scramMaxIterations", PQB_FOREIGN_DROPPED, NULL},
    {"stringtype", PQB_FOREIGN_DROPPED, NULL},
    {"tcpKeepAlive", PQB_FOREIGN_DROPPED, NULL},
    {"tcpNoDelay", PQB_FOREIGN_DROPPED, NULL},
    {"unknownLength", PQB_FOREIGN_DROPPED, NULL},
    {"xmlFactoryFactory", PQB_FOREIGN_DROPPED, NULL},
    {"readOnly", PQB_FOREIGN_HARMLESS, "false"},
    {"loadBalanceHosts", PQB_FOREIGN_HARMLESS, "false"},
    {"targetServerType", PQB_FOREIGN_HARMLESS, "any"},
    {"gssEncMode", PQB_FOREIGN_HARMLESS, "disable allow prefer"},
    {"channelBinding", PQB_FOREIGN_HARMLESS, "disable prefer"},
    {"useSpnego", PQB_FOREIGN_HARMLESS, "false"},

    /* HikariCP, which Java's applications configure beside it: its README, "Configuration". */
    {"maximumPoolSize", PQB_FOREIGN_CAP, NULL},
    {"minimumIdle", PQB_FOREIGN_DROPPED, NULL},
    {"idleTimeout", PQB_FOREIGN_DROPPED, NULL},
    {"maxLifetime", PQB_FOREIGN_DROPPED, NULL},
    {"keepaliveTime", PQB_FOREIGN_DROPPED, NULL},
    {"connectionTimeout", PQB_FOREIGN_DROPPED, NULL},
    {"validationTimeout", PQB_FOREIGN_DROPPED, NULL},
    {"leakDetectionThreshold", PQB_FOREIGN_DROPPED, NULL},
    {"initializationFailTimeout", PQB_FOREIGN_DROPPED, NULL},
    {"poolName", PQB_FOREIGN_DROPPED, NULL},
    {"autoCommit", PQB_FOREIGN_DROPPED, NULL},

    /* asyncpg: connect() and create_pool() in its API reference. Not here: direct_tls. */
    {"max_size", PQB_FOREIGN_CAP, NULL},
    {"min_size", PQB_FOREIGN_DROPPED, NULL},
    {"command_timeout", PQB_FOREIGN_TIMEOUT, NULL},
    {"timeout", PQB_FOREIGN_DROPPED, NULL},
    {"max_queries", PQB_FOREIGN_DROPPED, NULL},
    {"max_inactive_connection_lifetime", PQB_FOREIGN_DROPPED, NULL},
    {"max_cached_statement_lifetime", PQB_FOREIGN_DROPPED, NULL},
    {"max_cacheable_statement_size", PQB_FOREIGN_DROPPED, NULL},

    /* node-postgres: pg-connection-string's index.js, "pg.Client" and "pg.Pool". */
    {"ssl", PQB_FOREIGN_SSL, NULL},
    {"max", PQB_FOREIGN_CAP_OR_NOT, NULL},
    {"min", PQB_FOREIGN_DROPPED, NULL},
    {"connectionTimeoutMillis", PQB_FOREIGN_WAIT_MS, NULL},
    {"idle_in_transaction_session_timeout", PQB_FOREIGN_SETTING, NULL},
    {"idle_session_timeout", PQB_FOREIGN_SETTING, NULL},
    {"uselibpqcompat", PQB_FOREIGN_DROPPED, NULL},
    {"query_timeout", PQB_FOREIGN_DROPPED, NULL},
    {"idleTimeoutMillis", PQB_FOREIGN_DROPPED, NULL},
    {"maxUses", PQB_FOREIGN_DROPPED, NULL},
    {"maxLifetimeSeconds", PQB_FOREIGN_DROPPED, NULL},
    {"allowExitOnIdle", PQB_FOREIGN_DROPPED, NULL},
    {"keepAlive", PQB_FOREIGN_DROPPED, NULL},
    {"keepAliveInitialDelayMillis", PQB_FOREIGN_DROPPED, NULL},
    {"binary", PQB_FOREIGN_DROPPED, NULL},

    /* Npgsql: "Connection String Parameters", with and without their blanks. Not here: SSL Mode,
     * Root Certificate, Check Certificate Revocation, Channel Binding, Require Auth, Target Session
     * Attributes. */
    {"Maximum Pool Size", PQB_FOREIGN_CAP, NULL},
    {"MaxPoolSize", PQB_FOREIGN_CAP, NULL},
    {"Minimum Pool Size", PQB_FOREIGN_DROPPED, NULL},
    {"MinPoolSize", PQB_FOREIGN_DROPPED, NULL},
    {"Pooling", PQB_FOREIGN_DROPPED, NULL},
    {"Connection Idle Lifetime", PQB_FOREIGN_DROPPED, NULL},
    {"ConnectionIdleLifetime", PQB_FOREIGN_DROPPED, NULL},
    {"Connection Pruning Interval", PQB_FOREIGN_DROPPED, NULL},
    {"ConnectionPruningInterval", PQB_FOREIGN_DROPPED, NULL},
    {"Connection Lifetime", PQB_FOREIGN_DROPPED, NULL},
    {"ConnectionLifetime", PQB_FOREIGN_DROPPED, NULL},
    {"Command Timeout", PQB_FOREIGN_DROPPED, NULL},
    {"CommandTimeout", PQB_FOREIGN_DROPPED, NULL},
    {"Internal Command Timeout", PQB_FOREIGN_DROPPED, NULL},
    {"InternalCommandTimeout", PQB_FOREIGN_DROPPED, NULL},
    {"Cancellation Timeout", PQB_FOREIGN_DROPPED, NULL},
    {"CancellationTimeout", PQB_FOREIGN_DROPPED, NULL},
    {"Timeout", PQB_FOREIGN_CONNECT_TIMEOUT, NULL},
    {"Application Name", PQB_FOREIGN_NAME, NULL},
    {"Search Path", PQB_FOREIGN_PATH, NULL},
    {"SearchPath", PQB_FOREIGN_PATH, NULL},
    {"Trust Server Certificate", PQB_FOREIGN_HARMLESS, "true True"},
    {"TrustServerCertificate", PQB_FOREIGN_HARMLESS, "true True"},
    {"Load Balance Hosts", PQB_FOREIGN_HARMLESS, "false False"},
    {"LoadBalanceHosts", PQB_FOREIGN_HARMLESS, "false False"},
    {"Host Recheck Seconds", PQB_FOREIGN_DROPPED, NULL},
    {"HostRecheckSeconds", PQB_FOREIGN_DROPPED, NULL},
    {"Include Error Detail", PQB_FOREIGN_DROPPED, NULL},
    {"IncludeErrorDetail", PQB_FOREIGN_DROPPED, NULL},
    {"Include Failed Batched Command", PQB_FOREIGN_DROPPED, NULL},
    {"IncludeFailedBatchedCommand", PQB_FOREIGN_DROPPED, NULL},
    {"Log Parameters", PQB_FOREIGN_DROPPED, NULL},
    {"LogParameters", PQB_FOREIGN_DROPPED, NULL},
    {"Persist Security Info", PQB_FOREIGN_DROPPED, NULL},
    {"PersistSecurityInfo", PQB_FOREIGN_DROPPED, NULL},
    {"Keepalive", PQB_FOREIGN_DROPPED, NULL},
    {"Tcp Keepalive", PQB_FOREIGN_DROPPED, NULL},
    {"TcpKeepAlive", PQB_FOREIGN_DROPPED, NULL},
    {"Tcp Keepalive Time", PQB_FOREIGN_DROPPED, NULL},
    {"TcpKeepAliveTime", PQB_FOREIGN_DROPPED, NULL},
    {"Tcp Keepalive Interval", PQB_FOREIGN_DROPPED, NULL},
    {"TcpKeepAliveInterval", PQB_FOREIGN_DROPPED, NULL},
    {"Max Auto Prepare", PQB_FOREIGN_DROPPED, NULL},
    {"MaxAutoPrepare", PQB_FOREIGN_DROPPED, NULL},
    {"Auto Prepare Min Usages", PQB_FOREIGN_DROPPED, NULL},
    {"AutoPrepareMinUsages", PQB_FOREIGN_DROPPED, NULL},
    {"Read Buffer Size", PQB_FOREIGN_DROPPED, NULL},
    {"ReadBufferSize", PQB_FOREIGN_DROPPED, NULL},
    {"Write Buffer Size", PQB_FOREIGN_DROPPED, NULL},
    {"WriteBufferSize", PQB_FOREIGN_DROPPED, NULL},
    {"Socket Receive Buffer Size", PQB_FOREIGN_DROPPED, NULL},
    {"SocketReceiveBufferSize", PQB_FOREIGN_DROPPED, NULL},
    {"Socket Send Buffer Size", PQB_FOREIGN_DROPPED, NULL},
    {"SocketSendBufferSize", PQB_FOREIGN_DROPPED, NULL},
    {"No Reset On Close", PQB_FOREIGN_DROPPED, NULL},
    {"NoResetOnClose", PQB_FOREIGN_DROPPED, NULL},
    {"Array Nullability Mode", PQB_FOREIGN_DROPPED, NULL},
    {"ArrayNullabilityMode", PQB_FOREIGN_DROPPED, NULL},
    {"Enlist", PQB_FOREIGN_DROPPED, NULL},
    {"Multiplexing", PQB_FOREIGN_DROPPED, NULL},
    {"Write Coalescing Buffer Threshold Bytes", PQB_FOREIGN_DROPPED, NULL},
    {"WriteCoalescingBufferThresholdBytes", PQB_FOREIGN_DROPPED, NULL},
    {"Server Compatibility Mode", PQB_FOREIGN_DROPPED, NULL},
    {"ServerCompatibilityMode", PQB_FOREIGN_DROPPED, NULL},
};

const struct pqb_foreign *pqb_foreign_find(const char *keyword)
{
    static const struct pqb_foreign unknown = {"", PQB_FOREIGN_UNKNOWN, NULL};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (!strcmp(list[i].keyword, keyword))
            return &list[i];
    return &unknown;
}

static size_t match(const char *text, const char *word)
{
    size_t length = strlen(word);
    return strncmp(text, word, length) ? 0 : length;
}

size_t pqb_foreign_scheme(const char *text, int *is_libpqs)
{
    /* SQLAlchemy has a driver behind a plus sign; dj-database-url and Rails have postgis, pgsql and
     * timescale. Not redshift and cockroachdb: libpq would take the wrong port for their default.
     */
    static const char *const bases[] = {"postgresql", "postgres",  "postgis",
                                        "pgsql",      "timescale", "timescalegis"};
    size_t java = match(text, "jdbc:");
    for (size_t i = 0; i < sizeof bases / sizeof *bases; i++) {
        size_t base = match(text + java, bases[i]), driver = 0;
        const char *rest = text + java + base;
        if (!base)
            continue;
        if (*rest == '+')
            driver = 1 + strspn(rest + 1, "abcdefghijklmnopqrstuvwxyz0123456789_-");
        size_t end = match(rest + driver, "://");
        if (!end || driver == 1)
            continue;
        *is_libpqs = !java && !driver && i < 2;
        return java + base + driver + end;
    }
    *is_libpqs = 0;
    return 0;
}

int pqb_foreign_is_own_program(const char *program)
{
    static const char *const own[] = {
        "psql",          "pg_dump",
        "pg_dumpall",    "pg_restore",
        "pgbench",       "vacuumdb",
        "reindexdb",     "clusterdb",
        "createdb",      "dropdb",
        "createuser",    "dropuser",
        "pg_isready",    "pg_basebackup",
        "pg_receivewal", "pg_recvlogical",
        "pg_amcheck",    "pg_rewind",
        "pg_upgrade",    "oid2name",
        "vacuumlo",      "pg_createsubscriber",
        "pg_checksums",
    };
    const char *slash = program ? strrchr(program, '/') : NULL;
    const char *name = slash ? slash + 1 : program;
    for (size_t i = 0; name && i < sizeof own / sizeof *own; i++)
        if (!strcmp(name, own[i]))
            return 1;
    return 0;
}
