<?php

// Promises: the portal's registration and its engine.
// Leans on: the option rest/oauth_server, fixed at first load.
// Must never: notice a changed option in the same process.

declare(strict_types=1);


namespace Bitrix\Rest;

use Bitrix\Main\Config\Option;
use Bitrix\Main\Context;

if (!defined('BITRIX_OAUTH_URL')) {
    define('BITRIX_OAUTH_URL', Option::get('rest', 'oauth_server', 'https://oauth.bitrix.info'));
}
if (!defined('BITRIXREST_URL')) {
    define('BITRIXREST_URL', BITRIX_OAUTH_URL);
}

class OAuthService
{
    public const SERVICE_URL = BITRIXREST_URL;
    public const CLIENT_TYPE = 'B';

    protected static $engine = null;

    public static function getEngine()
    {
        return static::$engine ??= new OAuth\Engine();
    }

    public static function getMemberId()
    {
        return static::getEngine()->isRegistered() ? md5(static::getEngine()->getClientId()) : null;
    }

    public static function getRedirectUri()
    {
        $request = Context::getCurrent()->getRequest();
        return ($request->isHttps() ? 'https' : 'http') . '://' . preg_replace('/:(443|80)$/', '', (string)($_SERVER['HTTP_HOST'] ?? ''));
    }
}
