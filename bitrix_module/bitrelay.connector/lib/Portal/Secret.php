<?php

// Promises: a secret is stored encrypted wherever the portal has a crypto key.
// Leans on: the kernel's Cipher and crypto_key; a prefix tells the two forms apart.
// Must never: write a secret anywhere but into the module's options, or fail to read what it wrote.

declare(strict_types=1);

namespace Bitrelay\Connector\Portal;

use Bitrelay\Connector\Module;
use Bitrix\Main\Config\Configuration;
use Bitrix\Main\Config\Option;
use Bitrix\Main\Security\Cipher;

final class Secret
{
    private const ENCRYPTED = 'enc:';
    private const PLAIN = 'raw:';

    public static function put(string $name, string $secret): void
    {
        Option::set(Module::ID, $name, self::seal($secret));
    }

    /** @return string|null null when it was never stored, or the portal's crypto key has changed since */
    public static function get(string $name): ?string
    {
        $stored = (string)Option::get(Module::ID, $name, '', '');
        if (str_starts_with($stored, self::PLAIN)) {
            return substr($stored, strlen(self::PLAIN));
        }
        if (!str_starts_with($stored, self::ENCRYPTED)) {
            return null;
        }
        try {
            $raw = base64_decode(substr($stored, strlen(self::ENCRYPTED)), true);
            return $raw === false ? null : (string)(new Cipher())->decrypt($raw, self::key());
        } catch (\Throwable) {
            return null;
        }
    }

    public static function forget(string $name): void
    {
        Option::delete(Module::ID, ['name' => $name]);
    }

    private static function seal(string $secret): string
    {
        $key = self::key();
        if ($key === '') {
            return self::PLAIN . $secret;
        }
        try {
            return self::ENCRYPTED . base64_encode((new Cipher())->encrypt($secret, $key));
        } catch (\Throwable) {
            return self::PLAIN . $secret;
        }
    }

    private static function key(): string
    {
        $crypto = Configuration::getValue('crypto');
        return is_array($crypto) ? (string)($crypto['crypto_key'] ?? '') : '';
    }
}
