<?php

// Promises: a real `relay serve` with a home of its own, driven by its command line.
// Leans on: BITRELAY_RELAY, the command that runs the relay (e.g. "python -m relay").
// Must never: use a port that is not free or a home that is not its own.

declare(strict_types=1);


namespace Bitrelay\Tests;

final class RealRelay
{
    public readonly string $home;
    public readonly int $port;
    private readonly Server $server;
    /** @var list<string> */
    private readonly array $command;

    public function __construct(string $name)
    {
        $command = trim((string)getenv('BITRELAY_RELAY'));
        if ($command === '') {
            throw new Skipped('set BITRELAY_RELAY to the command that runs the relay');
        }
        $this->command = explode(' ', $command);
        $this->home = Temp::fresh('home-' . $name);
        $this->port = Server::freePort();
        $this->cli(['init', '--public-url', $this->url(), '--listen', '127.0.0.1:' . $this->port, '--admin-listen', '127.0.0.1:' . Server::freePort()]);
        $this->server = new Server([...$this->command, 'serve', '--home', $this->home], $this->port, Temp::folder('relay-logs') . '/' . $name . '.log');
    }

    public function url(): string
    {
        return 'http://127.0.0.1:' . $this->port;
    }

    public function start(): void
    {
        $this->server->start();
    }

    public function stop(): void
    {
        $this->server->stop();
    }

    /**
     * @param list<string> $arguments
     * @return array<mixed> the JSON that the command prints
     */
    public function cli(array $arguments): array
    {
        $line = implode(' ', array_map('escapeshellarg', [...$this->command, ...$arguments, '--home', $this->home, '--json']));
        exec($line . ' 2>' . escapeshellarg($this->home . '.err'), $output, $code);
        if ($code !== 0) {
            throw new Failure(implode(' ', $arguments) . ': ' . file_get_contents($this->home . '.err'));
        }
        return (array)json_decode(implode("\n", $output), true);
    }
}
