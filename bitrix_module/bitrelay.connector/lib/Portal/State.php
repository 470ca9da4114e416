<?php

// Promises: small named values shared by every PHP process and every web node, fresh on each read.
// Leans on: the table b_bitrelay_state; options will not do, because other processes see them late.
// Must never: hold text that is not ASCII (values are JSON or tokens), or be read on a hit that does not need it.

declare(strict_types=1);

namespace Bitrelay\Connector\Portal;

use Bitrelay\Connector\Module;
use Bitrix\Main\DB\Connection;

final class State
{
    public function __construct(private readonly Connection $connection)
    {
    }

    /** @return array{value: string, updated_at: int}|null */
    public function read(string $name): ?array
    {
        $row = $this->connection->query(
            'SELECT VALUE, UPDATED_AT FROM ' . Module::STATE_TABLE . " WHERE NAME = '" . $this->escape($name) . "'"
        )->fetch();
        if (!is_array($row)) {
            return null;
        }
        $row = array_change_key_case($row, CASE_UPPER);
        return ['value' => (string)$row['VALUE'], 'updated_at' => (int)$row['UPDATED_AT']];
    }

    /** @return array<string, mixed> the decoded value, empty when there is none */
    public function readArray(string $name): array
    {
        $row = $this->read($name);
        $value = $row === null ? null : json_decode($row['value'], true);
        return is_array($value) ? $value : [];
    }

    public function write(string $name, string $value, int $now): void
    {
        $set = "VALUE = '" . $this->escape($value) . "', UPDATED_AT = " . $now;
        $where = " WHERE NAME = '" . $this->escape($name) . "'";
        $this->connection->queryExecute('UPDATE ' . Module::STATE_TABLE . ' SET ' . $set . $where);
        // MySQL counts no row when the value was the same, so look before inserting.
        if ($this->connection->getAffectedRowsCount() > 0 || $this->read($name) !== null) {
            return;
        }
        try {
            $this->connection->queryExecute(
                'INSERT INTO ' . Module::STATE_TABLE . " (NAME, VALUE, UPDATED_AT) VALUES ('"
                . $this->escape($name) . "', '" . $this->escape($value) . "', " . $now . ')'
            );
        } catch (\Bitrix\Main\DB\SqlException) {
            // Another process inserted it between our two statements.
            $this->connection->queryExecute('UPDATE ' . Module::STATE_TABLE . ' SET ' . $set . $where);
        }
    }

    /** @param array<string, mixed> $value */
    public function writeArray(string $name, array $value, int $now): void
    {
        $this->write($name, json_encode($value, JSON_THROW_ON_ERROR), $now);
    }

    public function delete(string $name): void
    {
        $this->connection->queryExecute(
            'DELETE FROM ' . Module::STATE_TABLE . " WHERE NAME = '" . $this->escape($name) . "'"
        );
    }

    private function escape(string $text): string
    {
        return $this->connection->getSqlHelper()->forSql($text);
    }
}
