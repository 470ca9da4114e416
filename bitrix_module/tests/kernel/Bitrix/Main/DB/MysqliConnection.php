<?php

// Promises: a real MySQL connection through mysqli, as the kernel makes it.
// Leans on: mysqli; GET_LOCK, which is re-entrant and freed with the connection.
// Must never: share a connection with another object.

declare(strict_types=1);


namespace Bitrix\Main\DB;

class MysqliConnection extends Connection
{
    private ?\mysqli $resource = null;

    public function getType()
    {
        return 'mysql';
    }

    public function getAffectedRowsCount()
    {
        return $this->resource()->affected_rows;
    }

    public function isTableExists($tableName)
    {
        return $this->query("SHOW TABLES LIKE '" . $this->escape((string)$tableName) . "'")->fetch() !== false;
    }

    public function lock($name, $timeout = 0)
    {
        return (string)$this->queryScalar("SELECT GET_LOCK('" . md5((string)$name) . "', " . (int)$timeout . ')') === '1';
    }

    public function unlock($name)
    {
        return (string)$this->queryScalar("SELECT RELEASE_LOCK('" . md5((string)$name) . "')") === '1';
    }

    protected function run(string $sql): \Closure
    {
        try {
            $result = $this->resource()->query($sql);
        } catch (\mysqli_sql_exception $error) {
            throw $error->getCode() === 1062
                ? new DuplicateEntryException('Mysql query error: ' . $error->getMessage())
                : new SqlQueryException('Mysql query error: ' . $error->getMessage());
        }
        return static fn (): mixed => $result instanceof \mysqli_result ? $result->fetch_assoc() : null;
    }

    protected function escape(string $text): string
    {
        return $this->resource()->real_escape_string($text);
    }

    private function resource(): \mysqli
    {
        if ($this->resource === null) {
            mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
            $c = $this->configuration;
            $this->resource = new \mysqli(null, $c['login'], $c['password'], $c['database'], 0, $c['socket']);
            $this->resource->set_charset('utf8mb4');
        }
        return $this->resource;
    }
}
