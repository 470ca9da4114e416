<?php

// Promises: runs all the module's tests, one line each, and counts them.
// Leans on: one.php in a process per file of cases.
// Must never: pass when a file of cases died on the way.

declare(strict_types=1);


$filter = $argv[1] ?? '';
[$passed, $failed, $skipped] = [0, 0, 0];
foreach (glob(__DIR__ . '/cases/*.php') as $file) {
    if ($filter !== '' && !str_contains($file, $filter)) {
        continue;
    }
    echo '# ' . basename($file, '.php') . "\n";
    $process = proc_open(['php', '-d', 'opcache.enable_cli=0', __DIR__ . '/one.php', $file], [['file', '/dev/null', 'r'], ['pipe', 'w'], ['redirect', 1]], $pipes);
    $seen = 0;
    while (($line = fgets($pipes[1])) !== false) {
        echo $line;
        $kind = substr($line, 0, 5);
        $passed += (int)($kind === 'ok   ');
        $failed += (int)($kind === 'FAIL ');
        $skipped += (int)($kind === 'skip ');
        $seen += (int)($kind === 'FAIL ');
    }
    if (proc_close($process) !== 0 && $seen === 0) {
        echo 'FAIL ' . basename($file) . " ended before its tests did\n";
        $failed++;
    }
}
if ($skipped > 0 && getenv('CI') === 'true') {
    echo "FAIL a skip is a failure here\n";
    $failed++;
}
echo $passed . ' passed, ' . $failed . ' failed' . ($skipped > 0 ? ', ' . $skipped . ' skipped' : '') . "\n";
exit($failed === 0 && $passed > 0 ? 0 : 1);
