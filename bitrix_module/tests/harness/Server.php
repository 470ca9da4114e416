<?php

// Promises: a child process of ours that serves on loopback, ready when it accepts.
// Leans on: proc_open.
// Must never: outlive the test or end a process it did not start.

declare(strict_types=1);


namespace Bitrelay\Tests;

final class Server
{
    /** @var resource|null */
    private $process = null;

    /**
     * @param list<string> $command
     * @param array<string, string> $env
     */
    public function __construct(
        private readonly array $command,
        public readonly int $port,
        private readonly string $log,
        private readonly array $env = [],
    ) {
    }

    public static function freePort(): int
    {
        $socket = stream_socket_server('tcp://127.0.0.1:0');
        $name = (string)stream_socket_get_name($socket, false);
        fclose($socket);
        return (int)substr($name, (int)strrpos($name, ':') + 1);
    }

    public function start(): void
    {
        $out = ['file', $this->log, 'a'];
        $process = proc_open($this->command, [['file', '/dev/null', 'r'], $out, $out], $pipes, null, $this->env + getenv());
        if (!is_resource($process)) {
            throw new Failure('cannot start ' . $this->command[0]);
        }
        $this->process = $process;
        Wait::until(fn (): bool => $this->accepts(), 'server on port ' . $this->port . ' accepts');
    }

    public function stop(int $signal = SIGTERM): void
    {
        if ($this->process === null) {
            return;
        }
        proc_terminate($this->process, $signal);
        $process = $this->process;
        $this->process = null;
        Wait::until(static fn (): bool => !proc_get_status($process)['running'], 'server ends');
        proc_close($process);
    }

    public function url(): string
    {
        return 'http://127.0.0.1:' . $this->port;
    }

    private function accepts(): bool
    {
        $socket = @stream_socket_client('tcp://127.0.0.1:' . $this->port, $code, $text, 1);
        if ($socket === false) {
            return false;
        }
        fclose($socket);
        return true;
    }

    public function __destruct()
    {
        $this->stop(SIGKILL);
    }
}
