<?php

// Promises: where the portal keeps what it knows of tokens (protocol.md section 1).
// Leans on: nothing.
// Must never: change its three methods.

declare(strict_types=1);


namespace Bitrix\Rest;

interface AuthStorageInterface
{
    public function store(array $authResult);

    public function rewrite(array $authResult);

    public function restore($accessToken);
}
