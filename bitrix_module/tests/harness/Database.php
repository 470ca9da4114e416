<?php

// Promises: the databases a portal can have: SQLite for speed, real MariaDB and PostgreSQL on a socket.
// Leans on: Debian's server packages, started as their own users in a temporary folder.
// Must never: listen on the network.

declare(strict_types=1);


namespace Bitrelay\Tests;

final class Database
{
    /** @var array<string, resource> servers of this process, by folder */
    private static array $servers = [];

    /** @return array<string, mixed> the "db" of portal.json */
    public static function sqlite(string $folder): array
    {
        return ['className' => \Bitrix\Main\DB\SqliteConnection::class, 'file' => $folder . '/portal.sqlite'];
    }

    /** @return array<string, mixed> */
    public static function mariadb(): array
    {
        self::needs('mysqli', '/usr/sbin/mariadbd', 'php-mysql mariadb-server');
        $folder = self::folderFor('mysql', 'mariadb');
        $socket = $folder . '/s';
        if (!isset(self::$servers[$folder])) {
            self::run(['mariadb-install-db', '--no-defaults', '--datadir=' . $folder . '/data', '--skip-test-db',
                '--auth-root-authentication-method=normal', ...(self::isRoot() ? ['--user=mysql'] : [])]);
            self::serve([
                '/usr/sbin/mariadbd', '--no-defaults', '--datadir=' . $folder . '/data', '--socket=' . $socket, '--skip-networking',
                '--pid-file=' . $folder . '/pid', '--innodb-buffer-pool-size=32M', '--innodb-flush-log-at-trx-commit=1',
                ...(self::isRoot() ? ['--user=mysql'] : []),
            ], $folder);
            Wait::until(static fn (): bool => self::quiet(
                static fn (): bool => (new \mysqli(null, 'root', '', '', 0, $socket))->query('CREATE DATABASE IF NOT EXISTS portal') !== false
            ), 'MariaDB answers', 60);
        }
        return [
            'className' => \Bitrix\Main\DB\MysqliConnection::class,
            'login' => 'root', 'password' => '', 'database' => 'portal', 'socket' => $socket,
        ];
    }

    /** @return array<string, mixed> */
    public static function postgres(): array
    {
        $bin = glob('/usr/lib/postgresql/*/bin')[0] ?? '';
        self::needs('pgsql', $bin . '/initdb', 'php-pgsql postgresql');
        $folder = self::folderFor('postgres', 'postgres');
        $user = self::isRoot() ? ['setpriv', '--reuid=postgres', '--regid=postgres', '--init-groups', '--'] : [];
        if (!isset(self::$servers[$folder])) {
            self::run([...$user, $bin . '/initdb', '-D', $folder . '/data', '-A', 'trust', '-U', 'postgres', '-E', 'UTF8', '--no-sync']);
            self::serve([...$user, $bin . '/postgres', '-D', $folder . '/data', '-k', $folder, '-p', '5432', '-c', 'listen_addresses='], $folder);
            Wait::until(static fn (): bool => self::quiet(
                static fn (): bool => @pg_connect(" host='" . $folder . "' port='5432' dbname='postgres' user='postgres'") !== false
            ), 'PostgreSQL answers', 60);
        }
        return [
            'className' => \Bitrix\Main\DB\PgsqlConnection::class,
            'host' => $folder, 'port' => '5432', 'database' => 'postgres', 'login' => 'postgres',
        ];
    }

    private static function needs(string $extension, string $binary, string $packages): void
    {
        if (!extension_loaded($extension) || !is_file($binary)) {
            throw new Skipped('needs the Debian packages ' . $packages);
        }
    }

    private static function isRoot(): bool
    {
        return posix_geteuid() === 0;
    }

    private static function folderFor(string $user, string $name): string
    {
        $folder = Temp::folder($name);
        if (self::isRoot() && !isset(self::$servers[$folder])) {
            chown($folder, $user);
        }
        return $folder;
    }

    private static function quiet(callable $try): bool
    {
        try {
            return (bool)$try();
        } catch (\Throwable) {
            return false;
        }
    }

    /** @param list<string> $command */
    private static function run(array $command): void
    {
        exec(implode(' ', array_map('escapeshellarg', $command)) . ' 2>&1', $output, $code);
        if ($code !== 0) {
            throw new Failure($command[0] . ': ' . implode(' ', array_slice($output, -3)));
        }
    }

    /** @param list<string> $command */
    private static function serve(array $command, string $folder): void
    {
        $out = ['file', $folder . '.log', 'a'];
        $server = proc_open($command, [['file', '/dev/null', 'r'], $out, $out], $pipes);
        if (!is_resource($server)) {
            throw new Failure('cannot start ' . $command[0]);
        }
        self::$servers[$folder] = $server;
        $owner = getmypid();
        register_shutdown_function(static function () use ($owner, $server): void {
            if (getmypid() === $owner) {
                proc_terminate($server, SIGQUIT);
                Wait::until(static fn (): bool => !proc_get_status($server)['running'], 'database ends');
            }
        });
    }
}
