<?php

// Promises: captured events in the module's own table, oldest first, until the relay has taken them.
// Leans on: the table b_bitrelay_outbox on MySQL and PostgreSQL; values are ASCII or escaped.
// Must never: delete a row that the relay has not confirmed and nobody has asked to drop.

declare(strict_types=1);

namespace Bitrelay\Connector\Outbox;

use Bitrelay\Connector\Module;
use Bitrix\Main\DB\Connection;

final class Outbox
{
    public const WAITING = 'W';
    /** Refused by the relay for what it is; shown, and sent again only when somebody says so. */
    public const HELD = 'H';

    private const INSERT_BYTES = 524288;

    public function __construct(private readonly Connection $connection)
    {
    }

    /** @param list<Item> $items */
    public function add(array $items, int $now): void
    {
        $rows = [];
        $bytes = 0;
        foreach ($items as $item) {
            $row = $this->row($item, $now);
            if ($rows !== [] && $bytes + strlen($row) > self::INSERT_BYTES) {
                $this->insert($rows);
                [$rows, $bytes] = [[], 0];
            }
            $rows[] = $row;
            $bytes += strlen($row);
        }
        if ($rows !== []) {
            $this->insert($rows);
        }
    }

    /** @return list<Item> the oldest waiting ones, by number and by size */
    public function oldest(int $most, int $mostBytes): array
    {
        $result = $this->connection->query(
            'SELECT ID, ITEM_ID, META, PAYLOAD FROM ' . Module::OUTBOX_TABLE
            . " WHERE STATE = '" . self::WAITING . "' ORDER BY ID LIMIT " . $most
        );
        $items = [];
        $bytes = 0;
        while (is_array($row = $result->fetch())) {
            $row = array_change_key_case($row, CASE_UPPER);
            $bytes += strlen((string)$row['PAYLOAD']);
            if ($items !== [] && $bytes > $mostBytes) {
                break;
            }
            $meta = (string)$row['META'] === '' ? null : json_decode((string)$row['META'], true);
            $items[] = new Item(
                (string)$row['ITEM_ID'],
                is_array($meta) ? $meta : [],
                (string)$row['PAYLOAD'],
                (int)$row['ID']
            );
        }
        return $items;
    }

    /** @param list<Item> $items */
    public function taken(array $items): void
    {
        $ids = implode(',', array_map(static fn (Item $item): int => $item->id, $items));
        if ($ids !== '') {
            $this->connection->queryExecute('DELETE FROM ' . Module::OUTBOX_TABLE . ' WHERE ID IN (' . $ids . ')');
        }
    }

    public function hold(Item $item, string $error): void
    {
        $this->connection->queryExecute(
            'UPDATE ' . Module::OUTBOX_TABLE . " SET STATE = '" . self::HELD . "', ERROR = '"
            . $this->escape(self::ascii($error)) . "' WHERE ID = " . $item->id
        );
    }

    public function releaseHeld(): void
    {
        $this->connection->queryExecute(
            'UPDATE ' . Module::OUTBOX_TABLE . " SET STATE = '" . self::WAITING . "' WHERE STATE = '" . self::HELD . "'"
        );
    }

    public function dropHeld(): void
    {
        $this->connection->queryExecute(
            'DELETE FROM ' . Module::OUTBOX_TABLE . " WHERE STATE = '" . self::HELD . "'"
        );
    }

    /** @return array{waiting: int, held: int, oldest_at: int, held_error: string} */
    public function depth(): array
    {
        $result = $this->connection->query(
            'SELECT STATE, COUNT(*) AS CNT, MIN(CREATED_AT) AS OLDEST, MAX(ERROR) AS LAST_ERROR FROM '
            . Module::OUTBOX_TABLE . ' GROUP BY STATE'
        );
        $depth = ['waiting' => 0, 'held' => 0, 'oldest_at' => 0, 'held_error' => ''];
        while (is_array($row = $result->fetch())) {
            $row = array_change_key_case($row, CASE_UPPER);
            if ($row['STATE'] === self::HELD) {
                $depth['held'] = (int)$row['CNT'];
                $depth['held_error'] = (string)$row['LAST_ERROR'];
            } else {
                $depth['waiting'] = (int)$row['CNT'];
                $depth['oldest_at'] = (int)$row['OLDEST'];
            }
        }
        return $depth;
    }

    private function row(Item $item, int $now): string
    {
        $meta = $item->meta === []
            ? 'NULL'
            : "'" . $this->escape(json_encode($item->meta, JSON_THROW_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE)) . "'";
        return "('" . $this->escape($item->itemId) . "', " . $now . ', ' . $meta . ", '"
            . $this->escape($item->payload) . "')";
    }

    /** @param list<string> $rows */
    private function insert(array $rows): void
    {
        $this->connection->queryExecute(
            'INSERT INTO ' . Module::OUTBOX_TABLE . ' (ITEM_ID, CREATED_AT, META, PAYLOAD) VALUES ' . implode(', ', $rows)
        );
    }

    private function escape(string $text): string
    {
        return $this->connection->getSqlHelper()->forSql($text);
    }

    private static function ascii(string $text): string
    {
        return substr((string)preg_replace('/[^\x20-\x7E]/', '?', $text), 0, 100);
    }
}
