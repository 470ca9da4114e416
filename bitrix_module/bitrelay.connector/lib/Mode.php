<?php

// Promises: the four ways the module can stand between the portal, the relay and the cloud.
// Leans on: nothing.
// Must never: be guessed; an unknown word means off.

declare(strict_types=1);

namespace Bitrelay\Connector;

enum Mode: string
{
    /** Not connected, or switched back to the cloud. */
    case Off = 'off';
    /** Isolated portal: every OAuth and event call goes to the relay. */
    case All = 'all';
    /** The portal still reaches the cloud; only the listed apps live at the relay. */
    case Apps = 'apps';
    /** Apps and tokens stay with the cloud; events for the listed handler hosts go through the relay. */
    case Handlers = 'handlers';

    public static function of(string $word): self
    {
        return self::tryFrom($word) ?? self::Off;
    }

    /** Whether access tokens of the relay can reach this portal. */
    public function hasRelayTokens(): bool
    {
        return $this === self::All || $this === self::Apps;
    }
}
