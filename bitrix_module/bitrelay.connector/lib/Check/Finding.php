<?php

// Promises: one line of the check: how it stands, which message, and what to put into it.
// Leans on: the language files of Diagnosis: BITRELAY_CHECK_<code> and, unless ok, BITRELAY_CHECK_<code>_FIX.
// Must never: carry a secret or a token.

declare(strict_types=1);

namespace Bitrelay\Connector\Check;

final class Finding
{
    public const OK = 'ok';
    public const WARN = 'warn';
    public const FAIL = 'fail';

    /** @param array<string, string> $values by placeholder without the marks */
    private function __construct(
        public readonly string $level,
        public readonly string $code,
        public readonly array $values,
    ) {
    }

    /** @param array<string, string> $values */
    public static function ok(string $code, array $values = []): self
    {
        return new self(self::OK, $code, $values);
    }

    /** @param array<string, string> $values */
    public static function warn(string $code, array $values = []): self
    {
        return new self(self::WARN, $code, $values);
    }

    /** @param array<string, string> $values */
    public static function fail(string $code, array $values = []): self
    {
        return new self(self::FAIL, $code, $values);
    }

    /** @return array<string, string> as Loc::getMessage wants them */
    public function replacements(): array
    {
        $replace = [];
        foreach ($this->values as $name => $value) {
            $replace['#' . $name . '#'] = $value;
        }
        return $replace;
    }
}
