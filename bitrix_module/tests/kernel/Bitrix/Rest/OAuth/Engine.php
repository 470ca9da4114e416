<?php

// Promises: the portal's own credentials, in two options.
// Leans on: Option.
// Must never: cache them past setAccess.

declare(strict_types=1);


namespace Bitrix\Rest\OAuth;

use Bitrix\Main\Config\Option;

class Engine
{
    protected $client = null;

    public function getClient()
    {
        return $this->client ??= new Client($this->getClientId(), $this->getClientSecret(), $this->getLicense());
    }

    public function isRegistered()
    {
        return $this->getClientId() !== false;
    }

    public function getClientId()
    {
        return Option::get('rest', 'service_client_id', false);
    }

    public function getClientSecret()
    {
        return Option::get('rest', 'service_client_secret', false);
    }

    public function setAccess(array $accessParams)
    {
        Option::set('rest', 'service_client_id', $accessParams['client_id']);
        Option::set('rest', 'service_client_secret', $accessParams['client_secret']);
        $this->client = null;
    }

    public function getLicense()
    {
        return LICENSE_KEY;
    }
}
