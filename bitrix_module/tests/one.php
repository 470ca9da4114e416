<?php

// Promises: runs one file of cases and prints one line per test.
// Leans on: harness/ and the kernel stubs, found by name.
// Must never: stop at the first failure.

declare(strict_types=1);


use Bitrelay\Tests\Skipped;

error_reporting(E_ALL);
set_error_handler(static function (int $level, string $text, string $file, int $line): bool {
    if ((error_reporting() & $level) !== 0) {
        throw new ErrorException($text, 0, $level, $file, $line);
    }
    return true;
});
spl_autoload_register(static function (string $class): void {
    $short = preg_replace('/^Bitrelay\\\\Tests\\\\/', '', $class);
    $module = preg_replace('/^Bitrelay\\\\Connector\\\\/', '', $class);
    $tries = [
        __DIR__ . '/harness/' . $short . '.php',
        __DIR__ . '/relay/' . $short . '.php',
        __DIR__ . '/kernel/' . str_replace('\\', '/', $class) . '.php',
        __DIR__ . '/kernel/classes/' . $class . '.php',
        dirname(__DIR__) . '/bitrelay.connector/lib/' . str_replace('\\', '/', $module) . '.php',
    ];
    foreach ($tries as $file) {
        if (is_file($file)) {
            require_once $file;
            return;
        }
    }
});

$failed = 0;
foreach (require $argv[1] as $name => $test) {
    $started = microtime(true);
    try {
        $note = $test();
        $line = 'ok   ' . $name . (is_string($note) ? ' [' . $note . ']' : '');
    } catch (Skipped $skipped) {
        $line = 'skip ' . $name . ': ' . $skipped->getMessage();
    } catch (Throwable $error) {
        $failed++;
        $line = 'FAIL ' . $name . ': ' . get_class($error) . ': ' . $error->getMessage()
            . ' (' . basename($error->getFile()) . ':' . $error->getLine() . ')';
    }
    printf("%s (%.2f s)\n", $line, microtime(true) - $started);
}
exit($failed === 0 ? 0 : 1);
