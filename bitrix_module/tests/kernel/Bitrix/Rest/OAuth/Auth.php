<?php

// Promises: the stock validator, in the order of kernel.md.
// Leans on: the storage, rest.check, the app table, the user.
// Must never: cache a call that got no answer.

declare(strict_types=1);


namespace Bitrix\Rest\OAuth;

use Bitrix\Rest\AppTable;
use Bitrix\Rest\AuthStorageInterface;
use Bitrix\Rest\OAuthService;

class Auth
{
    public const AUTH_TYPE = 'oauth';
    public const PARAM_LOCAL_USER = 'LOCAL_USER';
    public const PARAM_TZ_OFFSET = 'TZ_OFFSET';

    protected static $storage = null;

    public static function storeRegisteredAuth(array $tokenInfo)
    {
        static::getStorage()->store($tokenInfo);
    }

    public static function onRestCheckAuth(array $query, $scope, &$res)
    {
        $token = $query['auth'] ?? $query['access_token'] ?? null;
        if ($token === null) {
            return null;
        }
        $info = static::check($token);
        $refuse = static function (string $code) use (&$res): bool {
            $res = ['error' => $code, 'error_description' => $code];
            return false;
        };
        if (isset($info['error'])) {
            $res = $info;
            return false;
        }
        if (!array_key_exists('client_id', $info)) {
            return $refuse('CONNECTION_ERROR');
        }
        $app = AppTable::getByClientId($info['client_id']);
        if (!is_array($app) || $app['ACTIVE'] !== 'Y') {
            return $refuse('APPLICATION_NOT_FOUND');
        }
        if (($info['expires'] ?? 0) <= time()) {
            return $refuse('expired_token');
        }
        if ($scope !== '_global' && isset($info['scope']) && !in_array($scope, explode(',', $info['scope']), true)) {
            return $refuse('insufficient_scope');
        }
        if ($info['user_id'] > 0 && !$GLOBALS['USER']->Authorize($info['user_id'])) {
            return $refuse('authorization_error');
        }
        $res = $info;
        return true;
    }

    public static function updateTokenParameters($tokenInfo)
    {
        $known = static::getStorage()->restore($tokenInfo['access_token']);
        if (is_array($known)) {
            $known['parameters'] = array_replace_recursive((array)($known['parameters'] ?? []), $tokenInfo['parameters']);
            static::getStorage()->rewrite($known);
        }
    }

    public static function getStorage()
    {
        return static::$storage ??= new StorageCache();
    }

    public static function setStorage(AuthStorageInterface $storage)
    {
        static::$storage = $storage;
    }

    protected static function check($accessToken)
    {
        $known = static::getStorage()->restore($accessToken);
        if ($known !== false) {
            return $known;
        }
        $answer = OAuthService::getEngine()->getClient()->checkAuth($accessToken);
        if (!is_array($answer)) {
            return ['access_token' => $accessToken];
        }
        if (isset($answer['result'])) {
            $info = $answer['result'];
            $info['user_id'] = $info['parameters'][static::PARAM_LOCAL_USER] ?? 0;
            unset($info['parameters'][static::PARAM_LOCAL_USER]);
        } else {
            $info = $answer;
            $info['access_token'] = $accessToken;
        }
        static::getStorage()->store($info);
        return $info;
    }
}
