<?php

// Promises: says what was expected and what came.
// Leans on: nothing.
// Must never: pass silently over a difference in type.

declare(strict_types=1);


namespace Bitrelay\Tests;

final class Expect
{
    public static function same(mixed $expected, mixed $actual, string $what = ''): void
    {
        if ($expected !== $actual) {
            throw new Failure(trim($what . ' expected ' . self::show($expected) . ' got ' . self::show($actual)));
        }
    }

    public static function true(bool $condition, string $what): void
    {
        if (!$condition) {
            throw new Failure($what);
        }
    }

    public static function contains(string $needle, string $text, string $what = ''): void
    {
        self::true(str_contains($text, $needle), trim($what . ' no ' . self::show($needle) . ' in ' . self::show(substr($text, 0, 600))));
    }

    /** @param class-string<\Throwable> $class */
    public static function throws(string $class, callable $act, string $message = ''): void
    {
        try {
            $act();
        } catch (\Throwable $error) {
            self::true($error instanceof $class, 'threw ' . get_class($error) . ': ' . $error->getMessage());
            if ($message !== '') {
                self::same($message, $error->getMessage());
            }
            return;
        }
        throw new Failure('did not throw ' . $class);
    }

    private static function show(mixed $value): string
    {
        return (string)json_encode($value, JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE | JSON_PARTIAL_OUTPUT_ON_ERROR);
    }
}
