<?php

// Promises: the handler of the outage test, and what it got.
// Leans on: relay/sink.php.
// Must never: forget a delivery.

declare(strict_types=1);


namespace Bitrelay\Tests;

final class Sink
{
    private readonly string $file;
    private readonly Server $server;

    public function __construct(string $name)
    {
        $folder = Temp::fresh('sink-' . $name);
        $this->file = $folder . '/deliveries';
        touch($this->file);
        $port = Server::freePort();
        $this->server = new Server(
            ['php', '-S', '127.0.0.1:' . $port, dirname(__DIR__) . '/relay/sink.php'],
            $port,
            $folder . '/log',
            ['SINK_FILE' => $this->file]
        );
        $this->server->start();
    }

    public function url(): string
    {
        return $this->server->url() . '/handler';
    }

    /** @return list<array{event_id: string, body: array<string, mixed>}> in the order of delivery */
    public function deliveries(): array
    {
        return array_map(
            static fn (string $line): array => json_decode($line, true),
            file($this->file, FILE_IGNORE_NEW_LINES) ?: []
        );
    }
}
