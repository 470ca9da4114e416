<?php
// Promises: says in whose name and from where the portal acts during one hit.
// Leans on: nothing.
// Never: outlives the hit.
declare(strict_types=1);

namespace StandIn;

final class Hit
{
    /** Hops that an event chain may still take when it starts (protocol §4). */
    public const FRESH_SESSION = 7;

    public function __construct(
        /** From the console there is no Host header: the portal does not know its own address. */
        public readonly bool $cron,
        /** `host[:port]` of the Host header. */
        public readonly string $host,
        public readonly ?string $requestId = null,
        public int $userId = 0,
        /** EVENT_SESSION that events fired in this hit carry; 0 or less = they are not sent at all. */
        public int $eventSession = self::FRESH_SESSION,
    ) {
    }
}
