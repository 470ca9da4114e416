<?php

// Promises: waits for a condition, not for a time.
// Leans on: a deadline.
// Must never: pass when the condition never came.

declare(strict_types=1);


namespace Bitrelay\Tests;

final class Wait
{
    public static function until(callable $condition, string $what, float $seconds = 30.0): void
    {
        $deadline = microtime(true) + $seconds;
        while (!$condition()) {
            if (microtime(true) > $deadline) {
                throw new Failure('waited ' . $seconds . ' s for: ' . $what);
            }
            usleep(10000);
        }
    }
}
