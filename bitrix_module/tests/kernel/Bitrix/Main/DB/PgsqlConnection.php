<?php

// Promises: a real PostgreSQL connection through pg_connect, which gives the same link for the same string.
// Leans on: pgsql; bx_get_lock, as a portal's database has it.
// Must never: ask for a new link by flag, for the kernel does not.

declare(strict_types=1);


namespace Bitrix\Main\DB;

class PgsqlConnection extends Connection
{
    private ?\PgSql\Connection $resource = null;
    private \PgSql\Result|false $last = false;

    public function getType()
    {
        return 'pgsql';
    }

    public function getAffectedRowsCount()
    {
        return $this->last === false ? 0 : pg_affected_rows($this->last);
    }

    public function isTableExists($tableName)
    {
        return $this->query(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename = '" . $this->escape((string)$tableName) . "'"
        )->fetch() !== false;
    }

    public function lock($name, $timeout = 0)
    {
        return (string)$this->queryScalar('SELECT bx_get_lock(' . crc32((string)$name) . ', ' . (int)$timeout . ') AS l') === '0';
    }

    public function unlock($name)
    {
        return (string)$this->queryScalar('SELECT bx_release_lock(' . crc32((string)$name) . ') AS l') === '0';
    }

    protected function run(string $sql): \Closure
    {
        $resource = $this->resource();
        $result = @pg_query($resource, $sql);
        $this->last = $result;
        if ($result === false) {
            $message = (string)pg_last_error($resource);
            throw str_contains($message, '23505')
                ? new DuplicateEntryException('Pgsql query error: ' . $message)
                : new SqlQueryException('Pgsql query error: ' . $message);
        }
        return static fn (): mixed => pg_fetch_assoc($result);
    }

    protected function escape(string $text): string
    {
        return pg_escape_string($this->resource(), $text);
    }

    private function resource(): \PgSql\Connection
    {
        if ($this->resource === null) {
            $c = $this->configuration;
            $string = " host='" . $c['host'] . "' port='" . $c['port'] . "' dbname='" . $c['database'] . "' user='" . $c['login'] . "'";
            if (isset($c['charset'])) {
                $string .= " options='--client_encoding=" . $c['charset'] . "'";
            }
            $resource = pg_connect($string);
            if ($resource === false) {
                throw new SqlException('Pgsql connect error');
            }
            pg_set_error_verbosity($resource, PGSQL_ERRORS_VERBOSE);
            $this->resource = $resource;
        }
        return $this->resource;
    }
}
