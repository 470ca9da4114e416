<?php

// Promises: what the module uses of a kernel connection: queries, batches, transactions, named locks.
// Leans on: a driver class below.
// Must never: connect before the first query.

declare(strict_types=1);


namespace Bitrix\Main\DB;

abstract class Connection
{
    protected int $transactionLevel = 0;
    private ?SqlHelper $helper = null;

    /** @param array<string, mixed> $configuration */
    public function __construct(protected array $configuration)
    {
    }

    abstract public function getType();

    abstract public function getAffectedRowsCount();

    abstract public function isTableExists($tableName);

    abstract public function lock($name, $timeout = 0);

    abstract public function unlock($name);

    /** @return \Closure(): mixed rows one by one */
    abstract protected function run(string $sql): \Closure;

    abstract protected function escape(string $text): string;

    public function getConfiguration()
    {
        return $this->configuration;
    }

    public function getSqlHelper()
    {
        return $this->helper ??= new SqlHelper($this->escape(...));
    }

    public function query($sql)
    {
        return new Result($this->run((string)$sql));
    }

    public function queryExecute($sql, ?array $binds = null)
    {
        $this->run((string)$sql);
    }

    public function queryScalar($sql, ?array $binds = null)
    {
        $row = $this->query($sql)->fetch();
        return $row === false ? null : array_shift($row);
    }

    public function executeSqlBatch($sqlBatch, $stopOnError = false)
    {
        $errors = [];
        foreach (array_filter(array_map('trim', preg_split('/;(?=\s|$)/', $sqlBatch))) as $sql) {
            try {
                $this->queryExecute($sql);
            } catch (SqlException $error) {
                $errors[] = $error->getMessage();
                if ($stopOnError) {
                    break;
                }
            }
        }
        return $errors;
    }

    public function startTransaction()
    {
        $this->run($this->transactionLevel++ === 0 ? 'BEGIN' : 'SAVEPOINT TRANS' . ($this->transactionLevel - 1));
    }

    public function commitTransaction()
    {
        if (--$this->transactionLevel === 0) {
            $this->run('COMMIT');
        }
    }

    public function rollbackTransaction()
    {
        $this->run(--$this->transactionLevel === 0 ? 'ROLLBACK' : 'ROLLBACK TO SAVEPOINT TRANS' . $this->transactionLevel);
    }
}
