<?php

// Promises: takes the settings from a posted form, checks them, and stores all of them or none.
// Leans on: Settings for the bounds.
// Must never: store a value that Settings would not read back as typed.

declare(strict_types=1);

namespace Bitrelay\Connector\Admin;

use Bitrelay\Connector\Mode;
use Bitrelay\Connector\Module;
use Bitrelay\Connector\Portal\Connecting;
use Bitrelay\Connector\Portal\HostList;
use Bitrelay\Connector\Relay\ConnectionCode;
use Bitrelay\Connector\Settings;
use Bitrelay\Connector\Subscriptions;
use Bitrix\Main\Config\Option;

final class SettingsForm
{
    public const SWITCHES = ['local_validation', 'outbox', 'shutdown_net'];
    private const LISTS = ['apps', 'hosts', 'capture_events'];

    /**
     * @param array<string, string> $posted
     * @return list<array{0: string, 1: array<string, string>}> message keys with values; empty when stored
     */
    public static function save(array $posted): array
    {
        [$values, $faults] = self::read($posted);
        if ($faults !== []) {
            return $faults;
        }
        $before = Settings::load();
        foreach ($values as $name => $value) {
            Option::set(Module::ID, $name, $value);
        }
        $after = Settings::load();
        Subscriptions::replaceCaptured($before->captureEvents, $after->captureEvents);
        Connecting::follow(Mode::of($posted['mode'] ?? ''));
        return [];
    }

    /**
     * @param array<string, string> $posted
     * @return array{0: array<string, string>, 1: list<array{0: string, 1: array<string, string>}>}
     */
    private static function read(array $posted): array
    {
        [$values, $faults] = [[], []];
        $url = trim($posted['relay_url'] ?? '');
        try {
            $values['relay_url'] = $url === '' ? '' : ConnectionCode::origin($url);
            $values['ca'] = ConnectionCode::pem($posted['ca'] ?? '');
        } catch (\InvalidArgumentException $fault) {
            $faults[] = ['BITRELAY_FAULT_' . $fault->getMessage(), []];
        }
        if ($url === '' && Mode::of($posted['mode'] ?? '') !== Mode::Off) {
            $faults[] = ['BITRELAY_FAULT_URL_MALFORMED', []];
        }
        foreach (self::SWITCHES as $name) {
            $values[$name] = ($posted[$name] ?? '') === 'Y' ? 'Y' : 'N';
        }
        foreach (Settings::BOUNDS as $name => [$least, $most]) {
            $number = trim($posted[$name] ?? '');
            if (!ctype_digit($number) || (int)$number < $least || (int)$number > $most) {
                $faults[] = ['BITRELAY_FAULT_NUMBER', [
                    '#FIELD#' => $name, '#LEAST#' => (string)$least, '#MOST#' => (string)$most,
                ]];
            }
            $values[$name] = $number;
        }
        foreach (self::LISTS as $name) {
            $words = Settings::words($posted[$name] ?? '');
            $values[$name] = implode(',', $words);
            foreach (self::listFaults($name, $words) as $word) {
                $faults[] = ['BITRELAY_FAULT_WORD', ['#FIELD#' => $name, '#WORD#' => mb_substr($word, 0, 100)]];
            }
        }
        return [$values, $faults];
    }

    /**
     * @param list<string> $words
     * @return list<string>
     */
    private static function listFaults(string $name, array $words): array
    {
        return match ($name) {
            'hosts' => (new HostList($words))->faults(),
            'capture_events' => array_values(array_filter(
                $words,
                static fn (string $word): bool => !Subscriptions::isEventName($word)
            )),
            default => array_values(array_filter(
                $words,
                static fn (string $word): bool => preg_match('/^[\x21-\x7E]{1,128}$/D', $word) !== 1
            )),
        };
    }
}
