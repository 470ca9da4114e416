<?php

// Promises: one typed, bounded snapshot of the module's options.
// Leans on: \Bitrix\Main\Config\Option; reads the common row only, never a site's own.
// Must never: return a value outside its bounds, whatever is stored.

declare(strict_types=1);

namespace Bitrelay\Connector;

use Bitrix\Main\Config\Option;

final class Settings
{
    /** Whole-number options: least and most. */
    public const BOUNDS = [
        'connect_timeout' => [1, 30],
        'read_timeout' => [1, 60],
        'backoff_min' => [5, 3600],
        'backoff_max' => [30, 86400],
        'outbox_limit' => [1000, 10000000],
        'outbox_warn_percent' => [1, 90],
        'token_cache' => [0, 60],
    ];

    /**
     * @param list<string> $apps client ids that live at the relay in mode "apps"
     * @param list<string> $hosts host names and CIDRs for mode "handlers"
     * @param list<string> $captureEvents "module:event" pairs caught inside the business transaction
     */
    public function __construct(
        public readonly Mode $mode = Mode::Off,
        public readonly string $relayUrl = '',
        public readonly string $ca = '',
        public readonly array $apps = [],
        public readonly array $hosts = [],
        public readonly bool $localValidation = true,
        public readonly bool $outbox = true,
        public readonly bool $shutdownNet = true,
        public readonly array $captureEvents = [],
        public readonly int $connectTimeoutS = 2,
        public readonly int $readTimeoutS = 5,
        public readonly int $backoffMinS = 30,
        public readonly int $backoffMaxS = 600,
        public readonly int $outboxLimit = 200000,
        public readonly int $outboxWarnPercent = 25,
        public readonly int $tokenCacheS = 30,
        public readonly string $portalUrl = '',
    ) {
    }

    public static function load(): self
    {
        $mode = Mode::of(self::text('mode'));
        return new self(
            $mode,
            rtrim(self::text('relay_url'), '/'),
            self::text('ca'),
            self::words(self::text('apps')),
            self::words(self::text('hosts')),
            self::text('local_validation') === 'Y',
            // Without the outbox the two "chosen" modes would have no way to send.
            self::text('outbox') === 'Y' || $mode === Mode::Apps || $mode === Mode::Handlers,
            self::text('shutdown_net') === 'Y',
            self::words(self::text('capture_events')),
            self::whole('connect_timeout'),
            self::whole('read_timeout'),
            self::whole('backoff_min'),
            self::whole('backoff_max'),
            self::whole('outbox_limit'),
            self::whole('outbox_warn_percent'),
            self::whole('token_cache'),
            rtrim(self::text('portal_url'), '/'),
        );
    }

    /** Whether there is a relay to talk to. */
    public function connected(): bool
    {
        return $this->mode !== Mode::Off && $this->relayUrl !== '';
    }

    public function relayHost(): string
    {
        return strtolower((string)parse_url($this->relayUrl, PHP_URL_HOST));
    }

    /** Split a list the way people type one: by commas, spaces or lines. @return list<string> */
    public static function words(string $text): array
    {
        $words = preg_split('/[\s,;]+/', $text, -1, PREG_SPLIT_NO_EMPTY);
        return $words === false ? [] : array_values(array_unique($words));
    }

    private static function text(string $name): string
    {
        return trim((string)Option::get(Module::ID, $name, '', ''));
    }

    private static function whole(string $name): int
    {
        [$least, $most] = self::BOUNDS[$name];
        return max($least, min($most, (int)self::text($name)));
    }
}
