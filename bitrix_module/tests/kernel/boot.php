<?php

// Promises: a portal as a hit finds it: kernel classes, database, user, installed modules.
// Leans on: the folder named by PORTAL_ROOT and its portal.json.
// Must never: be loaded twice in a process.

declare(strict_types=1);


use Bitrix\Main\Application;
use Bitrix\Main\Config\Configuration;
use Bitrix\Main\Loader;

error_reporting(E_ALL);
set_error_handler(static function (int $level, string $text, string $file, int $line): bool {
    if ((error_reporting() & $level) !== 0) {
        throw new ErrorException($text, 0, $level, $file, $line);
    }
    return true;
});

spl_autoload_register(static function (string $class): void {
    foreach ([str_replace('\\', '/', $class), 'classes/' . $class] as $path) {
        if (is_file(__DIR__ . '/' . $path . '.php')) {
            require_once __DIR__ . '/' . $path . '.php';
            return;
        }
    }
    Loader::autoLoad($class);
});
require_once __DIR__ . '/functions.php';

$portalRoot = (string)getenv('PORTAL_ROOT');
$portal = json_decode((string)file_get_contents($portalRoot . '/portal.json'), true, 16, JSON_THROW_ON_ERROR);
defined('LANGUAGE_ID') || define('LANGUAGE_ID', $portal['language'] ?? 'en');
define('LICENSE_KEY', 'stub-licence-key');
define('SM_VERSION', '26.250.0');
Configuration::$values = $portal['settings'] ?? [];
Application::boot($portalRoot, ['default' => $portal['db']]);
$APPLICATION = new CMain();
$USER = new CUser();
