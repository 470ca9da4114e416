<?php
// Promises: one SQLite file holds everything the stand-in portal remembers, safe for all workers at once.
// Leans on: PDO with SQLite in WAL mode; each hit opens its own connection.
// Never: keeps a transaction open while another host is being called.
declare(strict_types=1);

namespace StandIn;

use PDO;

final class State
{
    private const SCHEMA = <<<'SQL'
        CREATE TABLE IF NOT EXISTS options (name TEXT PRIMARY KEY, value TEXT NOT NULL);
        CREATE TABLE IF NOT EXISTS apps (
            id INTEGER PRIMARY KEY AUTOINCREMENT, client_id TEXT NOT NULL UNIQUE,
            client_secret TEXT NOT NULL DEFAULT '', shared_key TEXT NOT NULL DEFAULT '',
            application_token TEXT NOT NULL DEFAULT '', title TEXT NOT NULL DEFAULT '',
            url TEXT NOT NULL DEFAULT '', install_url TEXT NOT NULL DEFAULT '', scope TEXT NOT NULL DEFAULT '',
            status TEXT NOT NULL DEFAULT 'L', version TEXT NOT NULL DEFAULT '1',
            active INTEGER NOT NULL DEFAULT 1, installed INTEGER NOT NULL DEFAULT 1);
        CREATE TABLE IF NOT EXISTS handlers (
            id INTEGER PRIMARY KEY AUTOINCREMENT, app_id INTEGER, event TEXT NOT NULL, url TEXT NOT NULL,
            user_id INTEGER NOT NULL DEFAULT 0, options TEXT NOT NULL DEFAULT '{}',
            application_token TEXT NOT NULL DEFAULT '');
        CREATE TABLE IF NOT EXISTS cache (name TEXT PRIMARY KEY, value TEXT NOT NULL, until INTEGER NOT NULL);
        CREATE TABLE IF NOT EXISTS users (
            id INTEGER PRIMARY KEY, active INTEGER NOT NULL DEFAULT 1, admin INTEGER NOT NULL DEFAULT 1,
            tz_offset INTEGER NOT NULL DEFAULT 0);
        CREATE TABLE IF NOT EXISTS deals (id INTEGER PRIMARY KEY AUTOINCREMENT, fields TEXT NOT NULL);
        CREATE TABLE IF NOT EXISTS exchanges (
            id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, purpose TEXT NOT NULL, url TEXT NOT NULL,
            request BLOB NOT NULL, status INTEGER NOT NULL, answer BLOB NOT NULL, failure TEXT NOT NULL);
        CREATE TABLE IF NOT EXISTS lost (
            id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, reason TEXT NOT NULL, items TEXT NOT NULL);
        INSERT OR IGNORE INTO users (id) VALUES (1), (2);
        SQL;

    private readonly PDO $db;

    public function __construct(string $folder)
    {
        $this->db = new PDO('sqlite:' . $folder . '/portal.sqlite', null, null, [
            PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION,
            PDO::ATTR_DEFAULT_FETCH_MODE => PDO::FETCH_ASSOC,
            PDO::ATTR_STRINGIFY_FETCHES => false,
        ]);
        // The waiting time goes first: the switch to WAL itself may meet another worker's lock.
        $this->db->exec('PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF');
        if ((int) $this->db->query('PRAGMA user_version')->fetchColumn() === 0) {
            $this->db->exec('BEGIN IMMEDIATE');
            $this->db->exec(self::SCHEMA);
            $this->db->exec('PRAGMA user_version = 1; COMMIT');
        }
    }

    /** @return list<array<string, mixed>> */
    public function rows(string $sql, mixed ...$values): array
    {
        $statement = $this->db->prepare($sql);
        $statement->execute($values);

        return $statement->fetchAll();
    }

    /** @return array<string, mixed>|null */
    public function row(string $sql, mixed ...$values): ?array
    {
        return $this->rows($sql, ...$values)[0] ?? null;
    }

    /** Runs a writing statement; returns how many rows it touched. */
    public function run(string $sql, mixed ...$values): int
    {
        $statement = $this->db->prepare($sql);
        $statement->execute($values);

        return $statement->rowCount();
    }

    /**
     * Inserts one row and returns its id; a given `id` column wins over the automatic one.
     *
     * @param array<string, mixed> $columns
     */
    public function insert(string $table, array $columns, string $verb = 'INSERT'): int
    {
        $names = implode(', ', array_keys($columns));
        $marks = implode(', ', array_fill(0, count($columns), '?'));
        $this->run("$verb INTO $table ($names) VALUES ($marks)", ...array_values($columns));

        return (int) $this->db->lastInsertId();
    }
}
