<?php

// Promises: the stock provider: one call, and a failure is only logged.
// Leans on: OAuthService.
// Must never: keep anything.

declare(strict_types=1);


namespace Bitrix\Rest\Event;

use Bitrix\Rest\OAuthService;

class ProviderOAuth implements ProviderInterface
{
    protected static $instance = null;

    public static function instance()
    {
        return static::$instance ??= new static();
    }

    public function send(array $queryData)
    {
        if (OAuthService::getEngine()->isRegistered()) {
            OAuthService::getEngine()->getClient()->sendEvent($queryData);
        }
    }
}
