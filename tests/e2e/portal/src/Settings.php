<?php
// Promises: every setting of the stand-in has a name, a default and one place to read it.
// Leans on: State (table `options`), values kept as JSON so that their types survive.
// Never: accepts a name it does not know, so a typing error in a test cannot pass unseen.
declare(strict_types=1);

namespace StandIn;

use InvalidArgumentException;

final class Settings
{
    /**
     * `oauth_server` is the one setting a stock portal has; `service_*` are what registration writes;
     * all others stand for the portal's surroundings (licence, clock, time-outs), which tests must steer.
     */
    private const DEFAULTS = [
        'oauth_server' => '',
        'service_client_id' => '',
        'service_client_secret' => '',
        'public_url' => '',            // scheme://host[:port] as users see it; '' = taken from the Host header
        'cron' => false,               // true = all hits behave as if started from the console
        'auto_register' => true,
        'intranet' => true,            // BX_TYPE CP, else BSM
        'licence_key' => 'STAND-IN',
        'licence_code' => '',          // overrides the computed BX_LICENCE, for a capture whose key is unknown
        'language' => 'ru',
        'now_s' => 0,                  // > 0 stops the clock at this unix time
        'clock_shift_s' => 0,
        'cache_ttl_s' => 3600,
        'connect_timeout_s' => 15.0,
        'read_timeout_s' => 15.0,
        'register_connect_timeout_s' => 30.0,
        'register_read_timeout_s' => 60.0,
        'proxy_timeout_s' => 10.0,
        'current_user' => 1,           // who is logged in to the portal's own pages; 0 = nobody
        'ca_file' => '',               // CA bundle for an https relay; '' = PHP's own
    ];

    /** @var array<string, mixed> */
    private array $values;

    public function __construct(private readonly State $state)
    {
        $this->values = self::DEFAULTS;
        foreach ($state->rows('SELECT name, value FROM options') as $row) {
            $this->values[$row['name']] = json_decode($row['value'], true, 16, JSON_THROW_ON_ERROR);
        }
    }

    /** @return array<string, mixed> */
    public function all(): array
    {
        return $this->values;
    }

    /** @param array<string, mixed> $values */
    public function set(array $values): void
    {
        foreach ($values as $name => $value) {
            if (!array_key_exists($name, self::DEFAULTS)) {
                throw new InvalidArgumentException("No setting is called '$name'.");
            }
            $kept = match (gettype(self::DEFAULTS[$name])) {
                'boolean' => (bool) $value,
                'integer' => (int) $value,
                'double' => (float) $value,
                default => (string) $value,
            };
            $this->values[$name] = $kept;
            $this->state->insert('options', ['name' => $name, 'value' => json_encode($kept)], 'INSERT OR REPLACE');
        }
    }

    public function text(string $name): string
    {
        return (string) $this->values[$name];
    }

    public function number(string $name): int
    {
        return (int) $this->values[$name];
    }

    public function seconds(string $name): float
    {
        return (float) $this->values[$name];
    }

    public function flag(string $name): bool
    {
        return (bool) $this->values[$name];
    }

    /** Unix time as this portal sees it. */
    public function now(): int
    {
        return $this->number('now_s') > 0 ? $this->number('now_s') : time() + $this->number('clock_shift_s');
    }
}
