<?php

// Promises: a small relay that speaks the contract and does as it is told.
// Leans on: relay/router.php under PHP's own server.
// Must never: be taken for the relay's behaviour beyond the contract.

declare(strict_types=1);


namespace Bitrelay\Tests;

final class ScriptedRelay
{
    public const PORTAL_ID = 'local.portal.0001';
    public const PORTAL_SECRET = 'portal-secret-000000000000000000000000000000000000';
    public const APP_ID = 'local.app.0001';

    public readonly string $folder;
    private readonly Server $server;

    public function __construct(string $name)
    {
        $this->folder = Temp::fresh('relay-' . $name);
        openssl_pkey_export(openssl_pkey_new(['private_key_type' => OPENSSL_KEYTYPE_EC, 'curve_name' => 'prime256v1']), $pem);
        file_put_contents($this->folder . '/signing.pem', $pem);
        $port = Server::freePort();
        $this->configure(['url' => 'http://127.0.0.1:' . $port]);
        $this->server = new Server(
            ['php', '-d', 'max_input_vars=1000000', '-d', 'post_max_size=64M', '-S', '127.0.0.1:' . $port, dirname(__DIR__) . '/relay/router.php'],
            $port,
            $this->folder . '/server.log',
            ['RELAY_FOLDER' => $this->folder]
        );
    }

    public function start(): self
    {
        $this->server->start();
        return $this;
    }

    public function stop(): void
    {
        $this->server->stop(SIGKILL);
    }

    public function url(): string
    {
        return $this->server->url();
    }

    /** @param array<string, mixed> $changes keys of the configuration; see relay/router.php */
    public function configure(array $changes): void
    {
        $file = $this->folder . '/config.json';
        $config = is_file($file) ? json_decode((string)file_get_contents($file), true) : [
            'mode' => 'ok',
            'portal_id' => self::PORTAL_ID,
            'portal_secret' => self::PORTAL_SECRET,
            'keys' => [1 => hash('sha256', 'relay key 1')],
            'apps' => [[7, self::APP_ID, 'crm,user', 'L', 1]],
            'revoked' => [],
            'through' => [],
            'bundle_ttl' => 86400,
            'listed_keys' => [1],
            'deliver' => false,
        ];
        file_put_contents($file . '.new', json_encode($changes + $config));
        rename($file . '.new', $file);
    }

    /** @param array<string, mixed> $claims what differs from a plain live token of user 1 */
    public function token(array $claims = []): string
    {
        return Issuer::seal($claims + [
            'expires' => time() + 3600, 'key_id' => 1, 'user_id' => 1, 'app_number' => 7,
            'serial' => bin2hex(random_bytes(6)), 'event_session' => 7, 'tz_offset_min' => 180,
        ], (string)hex2bin(hash('sha256', 'relay key ' . ($claims['key_id'] ?? 1))));
    }

    /** @return list<array{item_id: string, item: array<string, mixed>}> in the order of acceptance */
    public function received(): array
    {
        if (!is_file($this->folder . '/items.sqlite')) {
            return [];
        }
        $rows = [];
        $result = (new \SQLite3($this->folder . '/items.sqlite'))->query('SELECT item_id, item FROM items ORDER BY seq');
        while ($row = $result->fetchArray(SQLITE3_ASSOC)) {
            $rows[] = ['item_id' => $row['item_id'], 'item' => json_decode($row['item'], true)];
        }
        return $rows;
    }

    /** @return list<array{path: string, fields: array<string, mixed>}> every request so far */
    public function calls(string $path = ''): array
    {
        $lines = @file($this->folder . '/calls.jsonl', FILE_IGNORE_NEW_LINES) ?: [];
        $calls = array_map(static fn (string $line): array => json_decode($line, true), $lines);
        return array_values(array_filter($calls, static fn (array $call): bool => $path === '' || $call['path'] === $path));
    }
}
