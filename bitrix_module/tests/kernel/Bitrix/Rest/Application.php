<?php

// Promises: the auth provider, chosen once per process.
// Leans on: onApplicationManagerInitialize.
// Must never: ask twice.

declare(strict_types=1);


namespace Bitrix\Rest;

use Bitrix\Main\Event;

class Application
{
    protected static $initialized = false;
    protected static $authProvider = null;

    public static function getAuthProvider()
    {
        if (!static::$initialized) {
            static::$initialized = true;
            (new Event('rest', 'onApplicationManagerInitialize'))->send();
        }
        return static::$authProvider ??= OAuth\Provider::instance();
    }

    public static function setAuthProvider(AuthProviderInterface $authProvider)
    {
        static::$authProvider = $authProvider;
    }
}
