<?php

// Promises: the stock auth provider.
// Leans on: OAuthService.
// Must never: ask for nobody's token.

declare(strict_types=1);


namespace Bitrix\Rest\OAuth;

use Bitrix\Rest\AuthProviderInterface;
use Bitrix\Rest\Event\Session;
use Bitrix\Rest\OAuthService;

class Provider implements AuthProviderInterface
{
    protected static $instance = null;

    public static function instance()
    {
        return static::$instance ??= new static();
    }

    public function authorizeClient($clientId, $userId, $state = '')
    {
        if ($userId <= 0) {
            return false;
        }
        $answer = OAuthService::getEngine()->getClient()->getCode($clientId, $state, $this->getTokenParams([], $userId));
        return $answer['result'] ?? $answer;
    }

    public function get($clientId, $scope, $additionalParams, $userId)
    {
        if ($userId <= 0) {
            return false;
        }
        $answer = OAuthService::getEngine()->getClient()->getAuth($clientId, $scope, $this->getTokenParams($additionalParams, $userId));
        if (empty($answer['result'])) {
            return $answer;
        }
        if (!empty($answer['result']['access_token'])) {
            $answer['result']['user_id'] = $userId;
            $answer['result']['client_id'] = $clientId;
            Auth::storeRegisteredAuth($answer['result']);
        }
        return $answer['result'];
    }

    protected function getTokenParams($additionalParams, $userId)
    {
        return [Auth::PARAM_LOCAL_USER => $userId, Auth::PARAM_TZ_OFFSET => 0, Session::PARAM_SESSION => Session::get()]
            + (is_array($additionalParams) ? $additionalParams : []);
    }
}
