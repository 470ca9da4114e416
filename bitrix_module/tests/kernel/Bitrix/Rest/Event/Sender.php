<?php

// Promises: queues events inside the caller and sends them in one low-priority job.
// Leans on: the provider.
// Must never: send inside the caller.

declare(strict_types=1);


namespace Bitrix\Rest\Event;

use Bitrix\Main\Application;
use Bitrix\Main\Context;
use Bitrix\Main\Event;
use Bitrix\Rest\AppTable;
use Bitrix\Rest\Sqs;

class Sender
{
    protected static $initialized = false;
    protected static $forkSet = false;
    protected static $queryData = [];
    protected static $provider;
    protected static $defaultEventParams = ['category' => Sqs::CATEGORY_DEFAULT, 'sendAuth' => true, 'sendRefreshToken' => false];

    public static function call($handlersList)
    {
        foreach ($handlersList as [$handler, $data, $additional]) {
            $session = Session::get();
            if (!$session) {
                return;
            }
            $app = $handler['APP_ID'] > 0 ? AppTable::getById($handler['APP_ID'])->fetch() : null;
            $auth = [
                Session::PARAM_SESSION => $session,
                'LOCAL_USER' => $handler['USER_ID'],
                'application_token' => $app ? \CRestUtil::getApplicationToken($app) : $handler['APPLICATION_TOKEN'],
                'domain' => Context::getCurrent()->getRequest()->getHttpHost(),
                'member_id' => \CRestUtil::getMemberId(),
            ];
            self::$queryData[] = Sqs::queryItem($app['CLIENT_ID'] ?? null, $handler['EVENT_HANDLER'], [
                'event' => $handler['EVENT_NAME'],
                'event_handler_id' => $handler['ID'],
                'data' => $data,
                'ts' => time(),
            ], $auth, $additional + static::$defaultEventParams);
        }
        if (self::$queryData !== [] && !static::$forkSet) {
            $application = Application::getInstance();
            $application->addBackgroundJob([__CLASS__, 'send'], [], $application::JOB_PRIORITY_LOW);
            static::$forkSet = true;
        }
    }

    public static function send(): void
    {
        if (count(self::$queryData) > 0) {
            \Bitrix\Rest\UsageStatTable::finalize();
            static::getProvider()->send(self::$queryData);
            self::$queryData = [];
            self::$forkSet = false;
        }
    }

    public static function getProvider()
    {
        if (!static::$initialized) {
            static::$initialized = true;
            (new Event('rest', 'onEventManagerInitialize'))->send();
        }
        return static::$provider ??= ProviderOAuth::instance();
    }

    public static function setProvider(ProviderInterface $provider)
    {
        static::$provider = $provider;
    }
}
