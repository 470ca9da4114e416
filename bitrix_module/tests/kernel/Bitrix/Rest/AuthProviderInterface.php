<?php

// Promises: where the portal gets tokens and codes (protocol.md section 1).
// Leans on: nothing.
// Must never: change its two methods.

declare(strict_types=1);


namespace Bitrix\Rest;

interface AuthProviderInterface
{
    public function authorizeClient($clientId, $userId, $state = '');

    public function get($clientId, $scope, $additionalParams, $userId);
}
