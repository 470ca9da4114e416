<?php

// Promises: messages from lang/<language>/<the file's path in its module>.
// Leans on: LANGUAGE_ID.
// Must never: fall back to another language, so that a missing key shows.

declare(strict_types=1);


namespace Bitrix\Main\Localization;

class Loc
{
    /** @var array<string, string> */
    private static array $messages = [];

    public static function loadMessages($file)
    {
        $module = dirname((string)$file);
        while ($module !== '/' && !is_dir($module . '/lang')) {
            $module = dirname($module);
        }
        $lang = $module . '/lang/' . LANGUAGE_ID . substr((string)$file, strlen($module));
        if (is_file($lang)) {
            $MESS = [];
            include $lang;
            self::$messages = $MESS + self::$messages;
        }
    }

    public static function getMessage($code, $replace = null, $language = null)
    {
        return isset(self::$messages[$code]) ? strtr(self::$messages[$code], $replace ?? []) : null;
    }
}
