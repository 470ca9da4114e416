<?php

// Promises: what the module uses of $APPLICATION.
// Leans on: output buffering.
// Must never: forget a thrown exception.

declare(strict_types=1);



class CMain
{
    public ?string $exception = null;
    public string $right = 'W';
    public ?string $includedPage = null;

    public function GetGroupRight($moduleId)
    {
        return $this->right;
    }

    public function AuthForm($message)
    {
        echo 'auth form';
    }

    public function GetCurPage()
    {
        return '/bitrix/admin/settings.php';
    }

    public function RestartBuffer()
    {
        ob_clean();
    }

    public function ThrowException($message, $id = false)
    {
        $this->exception = (string)$message;
    }

    public function IncludeAdminFile($title, $file)
    {
        ob_start();
        include $file;
        $this->includedPage = (string)ob_get_clean();
    }
}
