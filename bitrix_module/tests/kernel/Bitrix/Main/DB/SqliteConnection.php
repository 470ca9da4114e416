<?php

// Promises: a fast stand-in database for the unit tests; the module's SQL runs on it as on MySQL.
// Leans on: SQLite in WAL; flock for named locks.
// Must never: be taken for a database that portals use.

declare(strict_types=1);


namespace Bitrix\Main\DB;

class SqliteConnection extends Connection
{
    private ?\SQLite3 $resource = null;
    /** @var array<string, array{0: resource, 1: int}> */
    private array $locks = [];

    public function getType()
    {
        return 'mysql';
    }

    public function getAffectedRowsCount()
    {
        return $this->resource()->changes();
    }

    public function isTableExists($tableName)
    {
        return $this->query("SELECT name FROM sqlite_master WHERE name = '" . $this->escape((string)$tableName) . "'")->fetch() !== false;
    }

    public function lock($name, $timeout = 0)
    {
        if (isset($this->locks[$name])) {
            $this->locks[$name][1]++;
            return true;
        }
        $file = fopen($this->configuration['file'] . '.lock.' . md5((string)$name), 'c');
        if ($file === false || !flock($file, LOCK_EX | LOCK_NB)) {
            return false;
        }
        $this->locks[$name] = [$file, 1];
        return true;
    }

    public function unlock($name)
    {
        if (isset($this->locks[$name]) && --$this->locks[$name][1] === 0) {
            fclose($this->locks[$name][0]);
            unset($this->locks[$name]);
        }
        return true;
    }

    public function executeSqlBatch($sqlBatch, $stopOnError = false)
    {
        $portable = preg_replace(
            ['/ CHARACTER SET ascii/', '/\) ENGINE=InnoDB/', '/BIGINT UNSIGNED NOT NULL AUTO_INCREMENT/', '/,\s*PRIMARY KEY \(ID\)/', '/,\s*(UNIQUE )?KEY \w+ \([^)]*\)/'],
            ['', ')', 'INTEGER PRIMARY KEY AUTOINCREMENT', '', ''],
            (string)$sqlBatch
        );
        return parent::executeSqlBatch($portable, $stopOnError);
    }

    protected function run(string $sql): \Closure
    {
        try {
            $result = $this->resource()->query($sql);
        } catch (\Exception $error) {
            throw str_contains($error->getMessage(), 'UNIQUE')
                ? new DuplicateEntryException($error->getMessage())
                : new SqlQueryException($error->getMessage());
        }
        return static fn (): mixed => $result instanceof \SQLite3Result && $result->numColumns() > 0
            ? $result->fetchArray(SQLITE3_ASSOC)
            : false;
    }

    protected function escape(string $text): string
    {
        return \SQLite3::escapeString($text);
    }

    private function resource(): \SQLite3
    {
        if ($this->resource === null) {
            $this->resource = new \SQLite3($this->configuration['file']);
            $this->resource->enableExceptions(true);
            $this->resource->busyTimeout(10000);
            $this->resource->exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF');
        }
        return $this->resource;
    }
}
