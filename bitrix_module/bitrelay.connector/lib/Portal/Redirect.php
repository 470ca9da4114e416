<?php

// Promises: points the portal's OAuth server at the relay, and back at exactly what was there before.
// Leans on: the options rest/oauth_server and rest/service_client_*; an absent row is remembered as absent.
// Must never: overwrite the remembered state by a second switch, or touch an option it did not change.

declare(strict_types=1);

namespace Bitrelay\Connector\Portal;

use Bitrelay\Connector\Mode;
use Bitrix\Main\Config\Option;

final class Redirect
{
    private const FORMER = 'former';
    private const SERVER = 'oauth_server';
    private const CREDENTIALS = ['service_client_id', 'service_client_secret'];

    /** Make the portal's stock code follow the mode. */
    public static function apply(Mode $mode, string $relayUrl): void
    {
        if ($mode === Mode::Off) {
            self::restore();
            return;
        }
        self::remember();
        if ($mode === Mode::All) {
            Option::set('rest', self::SERVER, $relayUrl);
        } else {
            // In the two "chosen" modes the portal itself stays with the cloud.
            self::put(self::SERVER, self::former()[self::SERVER] ?? null);
        }
    }

    /** Back to what was before the first switch. Does nothing when there was none. */
    public static function restore(): void
    {
        $former = self::former();
        if ($former === null) {
            return;
        }
        self::put(self::SERVER, $former[self::SERVER]);
        if (Option::getRealValue('rest', 'service_client_id', '') !== $former['service_client_id']) {
            foreach (self::CREDENTIALS as $name) {
                self::put($name, $former[$name]);
            }
        }
        Secret::forget(self::FORMER);
    }

    /** @return array{oauth_server: ?string, service_client_id: ?string, service_client_secret: ?string}|null */
    public static function former(): ?array
    {
        $stored = json_decode((string)Secret::get(self::FORMER), true);
        if (!is_array($stored)) {
            return null;
        }
        return [
            'oauth_server' => self::textOrNull($stored['oauth_server'] ?? null),
            'service_client_id' => self::textOrNull($stored['service_client_id'] ?? null),
            'service_client_secret' => self::textOrNull($stored['service_client_secret'] ?? null),
        ];
    }

    private static function remember(): void
    {
        if (self::former() !== null) {
            return;
        }
        $now = [];
        foreach ([self::SERVER, ...self::CREDENTIALS] as $name) {
            $now[$name] = self::textOrNull(Option::getRealValue('rest', $name, ''));
        }
        Secret::put(self::FORMER, json_encode($now, JSON_THROW_ON_ERROR));
    }

    private static function put(string $name, ?string $value): void
    {
        if ($value === null) {
            Option::delete('rest', ['name' => $name]);
        } else {
            Option::set('rest', $name, $value);
        }
    }

    private static function textOrNull(mixed $value): ?string
    {
        return is_string($value) ? $value : null;
    }
}
