<?php

// Promises: a local validation is at least 20 times cheaper than asking the relay.
// Leans on: bench.php.
// Must never: measure anything itself.

declare(strict_types=1);


use Bitrelay\Tests\Expect;

return [
    'local validation is at least 20 times cheaper than rest.check over loopback' => static function (): string {
        exec('php ' . escapeshellarg(dirname(__DIR__) . '/bench.php') . ' --assert 2>&1', $output, $code);
        Expect::same(0, $code, implode("\n", $output));
        return (string)end($output);
    },
];
