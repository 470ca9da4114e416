<?php

// Promises: the stock client of the OAuth server, with its appended fields and its patience of 15 s.
// Leans on: HttpClient.
// Must never: know of the module.

declare(strict_types=1);


namespace Bitrix\Rest\OAuth;

use Bitrix\Main\ArgumentException;
use Bitrix\Main\Web\HttpClient;
use Bitrix\Main\Web\Json;
use Bitrix\Rest\OAuthService;

class_exists(OAuthService::class);

class Client
{
    public const SERVICE_URL = BITRIXREST_URL;
    public const SERVICE_PATH = '/rest/';

    public function __construct(protected $clientId, protected $clientSecret, protected $licenseKey)
    {
    }

    public function call($methodName, $additionalParams = null, $licenseCheck = false)
    {
        $fields = (is_array($additionalParams) ? $additionalParams : []);
        $fields['client_id'] = $this->clientId;
        $fields['client_secret'] = $this->clientSecret;
        $fields['client_redirect_uri'] = OAuthService::getRedirectUri();
        $fields['member_id'] = \CRestUtil::getMemberId();
        $http = new HttpClient(['socketTimeout' => 15, 'streamTimeout' => 15]);
        $result = $http->post(static::SERVICE_URL . static::SERVICE_PATH . $methodName, $fields);
        try {
            return Json::decode($result);
        } catch (ArgumentException) {
            return false;
        }
    }

    public function getAuth($clientId, $scope, array $additionalParams = [])
    {
        return $this->call('rest.authorize', ['CLIENT_ID' => $clientId, 'SCOPE' => $scope, 'PARAMS' => $additionalParams]);
    }

    public function checkAuth($accessToken)
    {
        return $this->call('rest.check', ['TOKEN' => $accessToken]);
    }

    public function getCode($clientId, $state, $additionalParams)
    {
        return $this->call('rest.code', ['CLIENT_ID' => $clientId, 'STATE' => $state, 'PARAMS' => $additionalParams]);
    }

    public function sendEvent(array $eventItems)
    {
        return $this->call('rest.event.call', ['QUERY' => $eventItems]);
    }
}
