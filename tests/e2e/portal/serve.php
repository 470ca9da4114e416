<?php
// Promises: the portal on one port, or two, `php serve.php PORT WORKERS [TLS_PORT PEM]`; ends when its input ends.
// Leans on: router.php under one `php -S` per worker, which closes the connection behind each answer.
// Never: lets a request wait for a busy worker while another one is free.
declare(strict_types=1);

namespace StandIn;

use RuntimeException;

/*
 * Why not PHP_CLI_SERVER_WORKERS: those workers accept connections while they are busy, so a request can sit
 * behind a script that waits for the relay, and the portal would stand still where a real one does not.
 */

/** One client's connection; a worker is bound to it from the first byte to the worker's last. */
final class Line
{
    /** @var resource|null */
    public $worker = null;
    public int $port = 0;
    public string $toWorker = '';
    public string $toClient = '';
    public bool $handshaking = false;
    public bool $clientEnded = false;
    public bool $workerEnded = false;

    /** @param resource $client */
    public function __construct(public $client)
    {
    }
}

final class Serve
{
    /** @var array<int, Line> by the client's stream number */
    private array $lines = [];
    /** @var list<int> ports of workers without a connection */
    private array $idle = [];
    /** @var array<int, resource> by port */
    private array $listeners = [];
    /** @var list<resource> */
    private array $processes = [];

    /** @param string $pem file with certificate and key for the second port */
    public function __construct(int $port, int $workers, private readonly int $tlsPort, string $pem)
    {
        $this->listeners[$port] = self::listen($port);
        if ($tlsPort > 0) {
            $this->listeners[$tlsPort] = self::listen($tlsPort, ['local_cert' => $pem]);
        }
        for ($i = 0; $i < $workers; $i++) {
            $this->idle[] = $this->startWorker();
        }
        fwrite(STDERR, "Stand-in portal is listening on port $port\n");
    }

    public function run(): void
    {
        stream_set_blocking(STDIN, false);
        while (true) {
            $readable = [...$this->listeners, STDIN];
            $writable = [];
            foreach ($this->lines as $line) {
                $this->assign($line);
                if (!$line->clientEnded && !$line->workerEnded) {
                    $readable[] = $line->client;
                }
                if ($line->worker !== null && !$line->workerEnded) {
                    $readable[] = $line->worker;
                }
                if ($line->worker !== null && !$line->workerEnded && $line->toWorker !== '') {
                    $writable[] = $line->worker;
                }
                if ($line->toClient !== '') {
                    $writable[] = $line->client;
                }
            }
            $except = null;
            if (stream_select($readable, $writable, $except, null) === false) {
                throw new RuntimeException('select failed');
            }
            if (in_array(STDIN, $readable, true) && fread(STDIN, 1024) === '' && feof(STDIN)) {
                array_map(proc_terminate(...), $this->processes);
                array_map(proc_close(...), $this->processes);

                return;
            }
            foreach ($this->listeners as $port => $listener) {
                if (in_array($listener, $readable, true)) {
                    $this->accept($listener, $port === $this->tlsPort);
                }
            }
            foreach ($this->lines as $line) {
                $this->pump($line, $readable);
            }
        }
    }

    /** @param resource $listener */
    private function accept($listener, bool $tls): void
    {
        $client = @stream_socket_accept($listener, 0);
        if ($client !== false) {
            stream_set_blocking($client, false);
            $this->lines[(int) $client] = new Line($client);
            $this->lines[(int) $client]->handshaking = $tls;
        }
    }

    /** A browser opens connections that it may never use: only a byte makes one worth a worker. */
    private function assign(Line $line): void
    {
        if ($line->worker === null && $line->toWorker !== '' && $this->idle !== []) {
            $line->port = array_shift($this->idle);
            $line->worker = stream_socket_client("tcp://127.0.0.1:$line->port");
            stream_set_blocking($line->worker, false);
        }
    }

    /** @param array<array-key, resource> $readable */
    private function pump(Line $line, array $readable): void
    {
        if ($line->handshaking && in_array($line->client, $readable, true)) {
            $done = @stream_socket_enable_crypto($line->client, true, STREAM_CRYPTO_METHOD_TLS_SERVER);
            $line->handshaking = $done === 0;
            $line->clientEnded = $done === false;
        }
        if (!$line->handshaking && !$line->workerEnded && in_array($line->client, $readable, true)) {
            $line->toWorker .= self::take($line->client, $line->clientEnded);
        }
        if ($line->worker !== null && !$line->workerEnded) {
            self::give($line->worker, $line->toWorker);
            if ($line->clientEnded && $line->toWorker === '') {
                // Half a request and gone: the worker must not wait for the rest.
                @stream_socket_shutdown($line->worker, STREAM_SHUT_WR);
            }
            if (in_array($line->worker, $readable, true)) {
                $line->toClient .= self::take($line->worker, $line->workerEnded);
            }
            if ($line->workerEnded) {
                fclose($line->worker);
                $this->idle[] = $line->port;
                $line->toWorker = '';
            }
        }
        self::give($line->client, $line->toClient);
        $unused = $line->worker === null && $line->toWorker === '';
        if (($line->workerEnded && $line->toClient === '') || ($line->clientEnded && $unused)) {
            fclose($line->client);
            unset($this->lines[array_search($line, $this->lines, true)]);
        }
    }

    /** @param resource $stream */
    private static function take($stream, bool &$ended): string
    {
        // To the last byte: what TLS has already decrypted, select would not announce again.
        for ($all = ''; ($bytes = (string) @fread($stream, 65536)) !== ''; ) {
            $all .= $bytes;
        }
        $ended = feof($stream);

        return $all;
    }

    /** Writes what goes without waiting. Bytes for a peer that is gone are dropped. @param resource $stream */
    private static function give($stream, string &$bytes): void
    {
        if ($bytes !== '') {
            $written = @fwrite($stream, $bytes);
            $bytes = $written === false && feof($stream) ? '' : substr($bytes, (int) $written);
        }
    }

    /**
     * @param array<string, string> $tls
     * @return resource
     */
    private static function listen(int $port, array $tls = [])
    {
        $context = stream_context_create(['socket' => ['backlog' => 511], 'ssl' => $tls]);
        $flags = STREAM_SERVER_BIND | STREAM_SERVER_LISTEN;

        return stream_socket_server("tcp://127.0.0.1:$port", $code, $reason, $flags, $context)
            ?: throw new RuntimeException("Cannot listen on port $port: $reason");
    }

    /** Starts one `php -S` and returns its port when it takes connections. */
    private function startWorker(): int
    {
        $probe = self::listen(0);
        $port = (int) substr((string) strrchr((string) stream_socket_get_name($probe, false), ':'), 1);
        fclose($probe);
        // A file, for a pipe that nobody reads in time would stop the workers.
        $log = getenv('STAND_IN_STATE_DIR') . '/workers.log';
        $command = [
            PHP_BINARY, '-d', 'max_input_vars=20000', '-d', 'post_max_size=16M', '-d', 'display_errors=0',
            '-S', "127.0.0.1:$port", '-t', __DIR__, __DIR__ . '/router.php',
        ];
        $process = proc_open($command, [['file', '/dev/null', 'r'], STDOUT, ['file', $log, 'a']], $pipes)
            ?: throw new RuntimeException('PHP cannot be started.');
        $this->processes[] = $process;
        while (($connection = @stream_socket_client("tcp://127.0.0.1:$port")) === false) {
            if (!proc_get_status($process)['running']) {
                throw new RuntimeException("A worker did not start on port $port.");
            }
            usleep(5000);
        }
        fclose($connection);

        return $port;
    }
}

(new Serve((int) $argv[1], (int) ($argv[2] ?? 4), (int) ($argv[3] ?? 0), $argv[4] ?? ''))->run();
