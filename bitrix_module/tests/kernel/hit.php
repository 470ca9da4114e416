<?php

// Promises: runs a piece of portal code as one hit, epilog and background jobs included.
// Leans on: boot.php; the code's value goes to a file as JSON.
// Must never: swallow an error of the code.

declare(strict_types=1);


require __DIR__ . '/boot.php';

foreach (GetModuleEvents('main', 'OnPageStart', true) as $event) {
    ExecuteModuleEventEx($event);
}
$value = (static fn (): mixed => require $GLOBALS['argv'][1])();
\Bitrix\Main\Application::getInstance()->terminate();
file_put_contents($argv[2], json_encode($value, JSON_THROW_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE));
