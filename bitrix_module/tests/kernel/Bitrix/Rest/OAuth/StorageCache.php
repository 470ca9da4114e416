<?php

// Promises: tokens in the managed cache for an hour.
// Leans on: ManagedCache.
// Must never: tell one token from another's.

declare(strict_types=1);


namespace Bitrix\Rest\OAuth;

use Bitrix\Main\Application;
use Bitrix\Rest\AuthStorageInterface;

class StorageCache implements AuthStorageInterface
{
    public const CACHE_TTL = 3600;
    public const CACHE_PREFIX = 'oauth_';

    public function store(array $authResult)
    {
        $cache = Application::getInstance()->getManagedCache();
        $cache->read(static::CACHE_TTL, static::CACHE_PREFIX . $authResult['access_token']);
        $cache->set(static::CACHE_PREFIX . $authResult['access_token'], $authResult);
    }

    public function rewrite(array $authResult)
    {
        Application::getInstance()->getManagedCache()->clean(static::CACHE_PREFIX . $authResult['access_token']);
        $this->store($authResult);
    }

    public function restore($accessToken)
    {
        $cache = Application::getInstance()->getManagedCache();
        return $cache->read(static::CACHE_TTL, static::CACHE_PREFIX . $accessToken)
            ? $cache->get(static::CACHE_PREFIX . $accessToken)
            : false;
    }
}
